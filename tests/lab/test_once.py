"""Long computations that are no training: done once, though the process is killed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import killed_once
import numpy as np
import pytest
import torch
from trial import write_book

from labkit.errors import LabkitError
from labkit.lab.record import read_record
from labkit.lab.session import Lab, open_lab
from labkit.trees import load_tree, save_tree

KEPT = "runs/p00-trial/laptop/seed-7/long-and-no-training.safetensors"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_book(tmp_path).root


def told(book: Path, until: str = "") -> list[str]:
    """Run the script in a process that is killed as soon as it has told `until`; return what it told."""
    command = [sys.executable, str(Path(killed_once.__file__))]
    lines = []
    with subprocess.Popen(command, cwd=book, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line.strip())
            if line.strip() == until:
                process.kill()
    assert process.returncode == (-9 if until else 0)
    return [line for line in lines if line in ("computes", "goes on")]


def test_what_a_killed_process_computed_is_there_and_all_ends_bitwise_the_same(book: Path) -> None:
    assert told(book) == ["computes", "goes on"]
    whole = (book / "end").read_text()
    for path in ("end", KEPT):
        (book / path).unlink()

    assert told(book, until="computes") == ["computes"]
    assert not (book / KEPT).exists(), "half of it must not be kept"
    assert told(book, until="goes on") == ["computes", "goes on"]
    assert not (book / "end").exists()
    assert told(book) == ["goes on"]
    assert (book / "end").read_text() == whole
    record = read_record(book / "runs/p00-trial/laptop/seed-7.json")
    assert record.seconds > 0.3, "the seconds of the computation count"
    assert load_tree(book / KEPT)["clock"]["seconds"] >= 0.3


def lab(profile: str = "laptop", **parameters: Any) -> Lab:
    return open_lab("p00-trial", profile=profile, seed=7, **parameters)


class Count:
    """Draws from all generators, and counts how often it is asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> list[Any]:
        self.calls += 1
        return [torch.rand(2), random.random(), np.random.random(), "text"]


NAME = "Long, and no training"


def test_it_is_kept_where_a_checkpoint_is_and_under_its_key(book: Path) -> None:
    count = Count()
    first = lab().once(NAME, count)
    drawn = (torch.rand(1).item(), random.random(), np.random.random())
    again = lab().once(NAME, count)
    assert (torch.rand(1).item(), random.random(), np.random.random()) == drawn
    assert (count.calls, first[1:]) == (1, again[1:])
    assert torch.equal(first[0], again[0])
    _, checkpoint = lab().checkpoint(NAME)
    assert checkpoint.path == book / KEPT
    assert load_tree(book / KEPT)["key"] == checkpoint.key


@pytest.mark.parametrize("change", ["parameters", "threads", "data", "weights", "name", "nothing"])
def test_it_is_computed_anew_where_something_else_would_come_out(
    book: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    count = Count()
    lab().once(NAME, count)
    if change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    other = lab(**({"epochs": 3} if change == "parameters" else {}))
    if change == "data":
        other._record.data.append({"name": "other"})
    elif change == "weights":
        other._record.weights.append({"name": "other"})
    other.once("long and no training" if change == "name" else NAME, count)
    assert count.calls == (1 if change == "nothing" else 2)


DAMAGE = {
    "cut short": lambda path, kept: path.write_bytes(path.read_bytes()[:-9]),
    "of another key": lambda path, kept: save_tree(path, kept | {"key": "other"}),
    "a checkpoint": lambda path, kept: save_tree(path, {"key": kept["key"], "steps": 3}),
    "a list": lambda path, kept: save_tree(path, [kept]),
    "without a tree": lambda path, kept: save_tree(path, {k: v for k, v in kept.items() if k != "tree"}),
    "of odd generators": lambda path, kept: save_tree(
        path, kept | {"random": kept["random"] | {"torch": torch.zeros(3)}}
    ),
    "of an odd clock": lambda path, kept: save_tree(path, kept | {"clock": {}}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_no_use_is_overwritten_and_changes_nothing(book: Path, damage: str) -> None:
    count = Count()
    first = lab().once(NAME, count)
    drawn = torch.rand(1).item()
    DAMAGE[damage](book / KEPT, load_tree(book / KEPT))
    assert lab().once(NAME, count)[1:] == first[1:]
    assert torch.rand(1).item() == drawn
    assert count.calls == 2
    lab().once(NAME, count)
    assert count.calls == 2


def test_smoke_keeps_nothing(book: Path) -> None:
    count = Count()
    for _ in range(2):
        [tensor, *_] = lab("smoke").once(NAME, count)
    assert (count.calls, tensor.device.type) == (2, "cpu")
    assert not (book / "runs").exists()


def test_gradients_and_what_is_no_tree_stay_behind(book: Path) -> None:
    weight = torch.ones(2, requires_grad=True)
    for profile in ("smoke", "laptop"):
        [doubled] = lab(profile).once(NAME, lambda: (2 * weight,))
        assert not doubled.requires_grad
    with pytest.raises(LabkitError, match="a set cannot be saved"):
        lab().once("other", lambda: {1, 2})


def test_the_seconds_of_an_earlier_process_count_once(book: Path) -> None:
    first = lab()
    first.once(NAME, Count())
    kept = load_tree(book / KEPT)
    save_tree(book / KEPT, kept | {"clock": {"seconds": 1000.0}})
    assert first.close().record.seconds < 100
    second = lab()
    second.once(NAME, Count())
    assert 1000 < second.close().record.seconds < 1100

"""Exact resume: real processes are killed, and end where the one that was not killed ends."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import resumable
import torch
from resumable import STEPS
from torch import nn

from labkit.data.augment import raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.training.checkpoint import Checkpoint
from labkit.training.fit import fit
from labkit.trees import load_tree, save_tree

SCRIPT = Path(resumable.__file__)


def start(kind: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), kind, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def steps_of(process: subprocess.Popen[str], until: int = STEPS) -> list[int]:
    """Return the steps the process tells of, the last being at most `until`."""
    told: list[int] = []
    assert process.stdout is not None
    for line in process.stdout:
        told.append(int(line.split()[1]))
        if told[-1] >= until:
            break
    return told


@pytest.mark.parametrize(
    ("kind", "kills"), [("sgd", 3), ("mask", 4), ("adam", 3), ("game", 3), ("clients", 3)]
)
def test_a_killed_training_ends_where_the_uninterrupted_one_does(
    kind: str, kills: int, tmp_path: Path
) -> None:
    whole = start(kind, tmp_path / "whole")
    assert steps_of(whole) == list(range(STEPS))
    assert whole.wait() == 0
    dice = random.Random(kind)
    resumed_at = []
    for _ in range(kills):
        process = start(kind, tmp_path / "killed")
        told = steps_of(process, until=dice.randrange(STEPS - 15))
        time.sleep(dice.random() * 0.01)  # somewhere within a step, or while the state is being written
        process.kill()
        process.wait()
        resumed_at.append(told[0])
    last = start(kind, tmp_path / "killed")
    told = steps_of(last)
    assert last.wait() == 0
    assert told == list(range(told[0], STEPS))
    assert max(*resumed_at, told[0]) > 0, "no process found anything to resume"
    assert (tmp_path / "killed/end").read_text() == (tmp_path / "whole/end").read_text()


@pytest.fixture
def loader() -> Loader:
    x = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8)
    return Loader(Images("some", x, torch.arange(40) % 10, tuple("0123456789"), "f"), 8, [raw], 0)


def train(loader: Loader, path: Path, key: str = "key", steps: int = 10) -> tuple[nn.Module, int]:
    """Train and return the model and the number of gradients computed."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    count = []
    model.register_full_backward_hook(lambda *_: count.append(1))
    fit(model, loader, steps, torch.optim.SGD(model.parameters(), 1e-4), callbacks=[Checkpoint(path, key, 4)])
    return model, len(count)


def test_a_training_that_is_complete_costs_nothing(loader: Loader, tmp_path: Path) -> None:
    first, computed = train(loader, tmp_path / "c")
    again, computed_again = train(loader, tmp_path / "c")
    assert (computed, computed_again) == (10, 0)
    assert torch.equal(first[1].weight, again[1].weight)


@pytest.mark.parametrize("other", [{"key": "other"}, {"steps": 12}])
def test_a_checkpoint_of_something_else_is_not_taken(loader: Loader, tmp_path: Path, other: dict) -> None:
    train(loader, tmp_path / "c")
    assert train(loader, tmp_path / "c", **other)[1] == other.get("steps", 10)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b[:-3] + b"\0\1\2", lambda b: b"", lambda b: b[5:]]
)
def test_a_damaged_checkpoint_is_noticed_and_trained_again(loader: Loader, tmp_path: Path, damage) -> None:
    path = tmp_path / "c"
    whole, _ = train(loader, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(LabkitError, match="damaged"):
        load_tree(path)
    model, computed = train(loader, path)
    assert computed == 10
    assert torch.equal(model[1].weight, whole[1].weight)


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = [
        torch.randn(2, 3),
        torch.tensor(True),
        torch.arange(3),
        torch.zeros(0),
        torch.randn(4).bfloat16(),
    ]
    tree = {"a": [1, 2.5, None, ("x", False)], 0: {"deep": tensors}, "none": {}}
    save_tree(tmp_path / "t", tree)
    again = load_tree(tmp_path / "t")
    for one, two in zip(tensors, again[0].pop("deep"), strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one, two)
    tree[0].pop("deep")
    assert again == tree


def test_what_cannot_be_saved_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match="a set cannot be saved"):
        save_tree(tmp_path / "t", {"a": {1, 2}})
    assert not list(tmp_path.iterdir())

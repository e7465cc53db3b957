"""The zoo with real processes, damaged files and changed code."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import train_zoo
from torch import nn
from train_zoo import IMAGES, RECIPE, weights_hash

from labkit.errors import LabkitError
from labkit.models.resnet import ResNet
from labkit.source.files import snapshot
from labkit.training import zoo as room
from labkit.training.precision import Precision, choose
from labkit.training.zoo import zoo
from labkit.trees import load_tree, save_tree

SCRIPT = Path(train_zoo.__file__)


def ask(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the trainings of this process."""
    counted: list[str] = []
    original = room.train

    def told(*arguments, **how):
        counted.append(how["title"])
        return original(*arguments, **how)

    monkeypatch.setattr(room, "train", told)
    return counted


def network_file(folder: Path) -> Path:
    [path] = folder.glob("*.safetensors")
    return path


def test_two_processes_that_ask_at_once_train_once(tmp_path: Path) -> None:
    processes = [ask(tmp_path) for _ in range(3)]
    outputs = [process.communicate(timeout=120)[0].split("\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum("trains" in output for output in outputs) == 1
    assert len({output[-2] for output in outputs}) == 1, "all must hold the same weights"


def test_a_process_killed_while_it_trains_leaves_nothing_half_made(tmp_path: Path) -> None:
    killed = ask(tmp_path)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "trains\n"
    killed.kill()
    killed.wait()
    assert not list(tmp_path.glob("*.safetensors"))
    after, again = ask(tmp_path), None
    first = after.communicate(timeout=120)[0].split()
    assert first[0] == "trains"
    again = ask(tmp_path).communicate(timeout=120)[0].split("\n")
    assert "trains" not in again
    assert again[-2] == first[-1]


def test_what_is_asked_for_twice_is_trained_once(tmp_path: Path, trainings: list[str]) -> None:
    first = zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    second = zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    assert trainings == ["ResNet"]
    assert weights_hash(first) == weights_hash(second)
    assert not first.training
    assert not second.training
    untrained = ResNet(1)
    assert not torch.equal(first.model[0].weight, untrained[0].weight)


@pytest.mark.parametrize(
    "change", ["seed", "recipe", "data", "arguments", "architecture", "code", "torch", "threads", "precision"]
)
def test_whatever_makes_another_network_is_trained(
    change: str, tmp_path: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    architecture, images, recipe, seed, arguments = ResNet, IMAGES, RECIPE, 0, {"blocks": 1}
    if change == "seed":
        seed = 1
    elif change == "recipe":
        recipe = dataclasses.replace(RECIPE, weight_decay=0.0)
    elif change == "data":
        images = dataclasses.replace(IMAGES, fingerprint="g")
    elif change == "arguments":
        arguments = {"blocks": 1, "stem_stride": 2}
    elif change == "architecture":

        class Other(ResNet):
            pass

        architecture = Other
    elif change == "code":
        monkeypatch.setattr(room, "snapshot", edited("momentum: float = 0.9", "momentum: float = 0.8"))
    elif change == "torch":
        monkeypatch.setattr(torch, "__version__", "2.99.0")
    elif change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    else:
        cpu = torch.device("cpu")
        usual = choose(cpu).dtype  # which depends on the processor
        other = Precision(cpu, torch.bfloat16 if usual == torch.float32 else torch.float32)
        monkeypatch.setattr("labkit.training.checkpoint.choose", lambda device: other)
    zoo(tmp_path, architecture, images, recipe, seed, **arguments)
    assert len(trainings) == 2
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def edited(old: str, new: str) -> Callable[[], dict[str, str]]:
    """Return a snapshot of the package in which `old` reads `new`."""
    files = snapshot()
    return lambda: {path: text.replace(old, new) for path, text in files.items()}


def test_the_code_that_counts_is_that_of_loop_recipe_and_network(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = room._code(ResNet)
    for old, new, counts in (
        ("model.train()", "model.eval()", True),  # the loop
        ("momentum: float = 0.9", "momentum: float = 0.8", True),  # the recipe
        ("class ResNet(nn.Sequential):", "@final\nclass ResNet(nn.Sequential):", True),  # the network
        ("def pgd(", "def attack(", False),
    ):
        monkeypatch.setattr(room, "snapshot", edited(old, new))
        assert (room._code(ResNet) != counted) is counts, old


@pytest.mark.parametrize("damage", ["truncated", "one bit", "emptied"])
def test_a_damaged_file_is_noticed_and_trained_anew(
    damage: str, tmp_path: Path, trainings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    path = network_file(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[-5] ^= 1
    path.write_bytes({"truncated": content[:-100], "one bit": content, "emptied": b""}[damage])
    again = zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    assert len(trainings) == 2
    assert "damaged" in capsys.readouterr().out
    assert weights_hash(again) == weights_hash(whole)
    zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    assert len(trainings) == 2


def test_weights_of_another_recipe_under_this_name_are_noticed(
    tmp_path: Path, trainings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    path = network_file(tmp_path)
    faster = dataclasses.replace(RECIPE, learning_rate=0.1)
    other = zoo(tmp_path / "other", ResNet, IMAGES, faster, 0, blocks=1)
    network_file(tmp_path / "other").replace(path)
    again = zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    assert len(trainings) == 3
    assert f"{path} is damaged: it holds another network; it is trained anew" in capsys.readouterr().out
    assert weights_hash(again) == weights_hash(wanted) != weights_hash(other)
    zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    assert len(trainings) == 3


@pytest.mark.parametrize("kind", ["shape", "too few", "type", "no weights", "no dictionary"])
def test_weights_that_do_not_fit_are_taken_in_no_part(
    tmp_path: Path, trainings: list[str], capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    wanted = weights_hash(zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1))
    path = network_file(tmp_path)
    saved = load_tree(path)
    last = list(saved["model"])[-1]
    if kind == "shape":
        saved["model"][last] = torch.zeros(3)
    elif kind == "too few":
        del saved["model"][last]
    elif kind == "type":
        saved["model"][last] = saved["model"][last].double()
    elif kind == "no weights":
        saved["model"] = "weights"
    else:
        saved = [saved]
    save_tree(path, saved)
    assert weights_hash(zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)) == wanted
    assert len(trainings) == 2
    assert "it is trained anew" in capsys.readouterr().out


def test_the_random_state_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    assert torch.equal(torch.rand(3), expected)


def test_it_takes_pixels(tmp_path: Path) -> None:
    model = zoo(tmp_path, ResNet, IMAGES, RECIPE, 0, blocks=1)
    x = IMAGES.x.float()
    by_hand = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), correction=0, keepdim=True)
    inner: nn.Module = model.model
    torch.testing.assert_close(model(x), inner(by_hand), rtol=1e-4, atol=1e-4)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabkitError, match=r"cannot make .*file/zoo"):
        zoo(tmp_path / "file/zoo", ResNet, IMAGES, RECIPE, 0, blocks=1)

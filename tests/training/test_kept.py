"""What is computed once for many runs: known by all that could change it, and never half made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from labkit.adversarial.white_box.balls import L2, Linf
from labkit.adversarial.white_box.projected import ProjectedGradient
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.models.resnet import resnet8
from labkit.source.files import snapshot
from labkit.training import kept as room
from labkit.training.kept import kept


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the calls of a function that stands at the top of a module of labkit."""
    counted: list[str] = []

    def drawn(**arguments: object) -> dict[str, torch.Tensor]:
        counted.append(", ".join(arguments))
        return {"drawn": torch.rand(3)}

    drawn.__module__, drawn.__qualname__ = "labkit.training.fit", "fit"
    monkeypatch.setitem(globals(), "DRAWN", drawn)
    return counted


def ask(folder: Path, **changed: object) -> tuple[torch.Tensor, str]:
    torch.manual_seed(1)
    x = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    arguments: dict[str, object] = {
        "model": resnet8(),
        "images": Images("some", x, torch.arange(2), ("a", "b"), "f"),
        "attack": ProjectedGradient(L2(3.0), 1.0, 4),
        "start": x,
        "number": 3,
    }
    tree, key = kept(folder, globals()["DRAWN"], "cpu", **(arguments | changed))
    return tree["drawn"].clone(), key  # the file is about to be damaged under it


def test_it_is_computed_once_from_its_own_random_numbers(tmp_path: Path, calls: list[str]) -> None:
    first, key = ask(tmp_path)
    after = torch.rand(1)
    again, same = ask(tmp_path)
    assert len(calls) == 1
    assert key == same
    assert torch.equal(first, again)
    assert torch.equal(first, torch.rand(3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.rand(1), after), "the global generator is as it was, computed or not"


def test_whatever_could_change_it_makes_another(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(tmp_path)
    model = resnet8()
    with torch.no_grad():
        model[-1].bias[0] += 1
    x = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    others = [
        {"model": model},
        {"model": nn.Sequential(*resnet8())},
        {"images": Images("some", x, torch.arange(2), ("a", "b"), "g")},
        {"attack": ProjectedGradient(Linf(3.0), 1.0, 4)},
        {"attack": ProjectedGradient(L2(3.0), 1.0, 5)},
        {"start": x + 1},
        {"number": 4},
    ]
    keys = {ask(tmp_path, **other)[1] for other in others}
    assert len(calls) == 1 + len(others)
    assert len(keys) == len(others)
    files = snapshot()
    for old, new in (
        ("change.clamp(-self.eps, self.eps)", "change"),  # Linf: no part of this call
        ("(self.eps / _length(change)", "(2 * self.eps / _length(change)"),  # the ball within the attack
        ("F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))", "F.relu(self.bn2(self.conv2(y)))"),
    ):
        assert any(old in text for text in files.values())
        edited = {path: text.replace(old, new) for path, text in files.items()}
        monkeypatch.setattr(room, "snapshot", lambda edited=edited: edited)
        before = len(calls)
        ask(tmp_path)
        assert len(calls) - before == (0 if "clamp" in old else 1), old


def test_a_damaged_file_is_noticed(
    tmp_path: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, _ = ask(tmp_path)
    [path] = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    again, _ = ask(tmp_path)
    assert torch.equal(whole, again)
    assert len(calls) == 2
    assert "computed anew" in capsys.readouterr().out


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**arguments: object) -> None:
        raise LabkitError("half way")

    fails.__module__, fails.__qualname__ = "labkit.training.fit", "fit"
    with pytest.raises(LabkitError, match="half way"):
        kept(tmp_path, fails, "cpu", number=1)
    assert not list(tmp_path.glob("*.safetensors"))


def test_nested_values_count_with_the_code_of_their_classes() -> None:
    attack = dataclasses.replace(ProjectedGradient(L2(3.0), 1.0, 4))
    assert {found.__name__ for found in room._classes([attack])} == {"ProjectedGradient", "L2"}

"""What all seeds of a chapter share: computed by the first, named in every record, in nobody's seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from trial import write_book

from labkit.data.embedded.glyphs import glyphs
from labkit.lab import session
from labkit.lab.record import read_record
from labkit.lab.session import open_lab
from labkit.lab.verify import _fingerprints


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A book in this folder, a cache of its own; what is shared takes half a second and counts its calls."""
    monkeypatch.chdir(tmp_path)
    write_book(tmp_path)
    monkeypatch.setattr(session, "cache_folder", lambda: tmp_path / "cache")
    counted: list[int] = []

    def slow(*, images: object, times: int) -> dict[str, torch.Tensor]:
        counted.append(times)
        began = time.process_time()
        while time.process_time() - began < 0.5:
            pass
        return {"drawn": torch.rand(3) * times}

    slow.__module__, slow.__qualname__ = "labkit.training.fit", "fit"
    monkeypatch.setitem(globals(), "SLOW", slow)
    return counted


def ran(seed: int, times: int = 2):
    lab = open_lab("p00-trial", profile="laptop", seed=seed)
    drawn = lab.shared("a network", globals()["SLOW"], images=glyphs("train", 20), times=times)["drawn"]
    after = torch.rand(1).item()
    lab.record("R1", [{"after": after}])
    lab.close()
    return drawn, after, read_record(Path(f"runs/p00-trial/laptop/seed-{seed}.json"))


def test_seeds_share_it_and_records_name_it(calls: list[int]) -> None:
    first, _, record = ran(0)
    second, _, other = ran(1)
    assert calls == [2]
    assert torch.equal(first, second)
    assert record.weights == other.weights
    assert _fingerprints(record) == _fingerprints(other)
    [note] = record.weights
    assert note["name"] == "a network"
    assert "once for all seeds" in note["source"]
    changed, _, third = ran(2, times=3)
    assert calls == [2, 3]
    assert third.weights[0]["fingerprint"] != note["fingerprint"]
    assert not torch.equal(first, changed)


def test_it_is_in_nobodys_seconds_and_changes_no_random_number(calls: list[int]) -> None:
    _, computed, first = ran(0)
    _, read, second = ran(0)
    assert calls == [2]
    assert computed == read
    assert first.seconds < 0.4
    assert abs(first.seconds - second.seconds) < 0.3

"""A run: what the lab hands out, what its record holds, what several records say."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from labkit.lab.claims import Claim, judge

from labkit.errors import LabkitError
from labkit.lab.provenance import versions
from labkit.lab.record import Number, Record, read_record, with_interval
from labkit.lab.report import Report
from labkit.lab.session import Lab, open_lab
from labkit.show.sheet import sheet
from labkit.training.callbacks import Training

CHAPTER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A trial

```{code-cell}
:tags: [figure]
from labkit.show.draw import bars
```

```{code-cell}
from labkit.measure.intervals import mean_interval

mean_interval([1.0])
size = lab.pick(smoke=10, laptop=20, full=30)
```
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "p00-trial.md").write_text(CHAPTER)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n- file: book/p00-trial\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(book: Path, seed: int, effect: float, profile: str = "laptop", value: float = 0.5) -> Lab:
    lab = open_lab("p00-trial", profile=profile, seed=seed, epochs=3)
    lab.record("R1", [{"x": 1, "y": value}, {"x": 2, "y": None}])
    lab.number("R1", "accuracy", value, paper="60 %")
    lab.claim("R1", "A beats B", effect, "points")
    lab.sheet("R1", torch.full((4, 6, 3), seed, dtype=torch.uint8))
    lab.close()
    return lab


def test_a_record_holds_what_was_measured_and_made_of(book: Path) -> None:
    run(book, 4, 0.1)
    record = read_record(book / "runs/p00-trial/laptop/seed-4.json")
    assert (record.chapter, record.profile, record.seed) == ("p00-trial", "laptop", 4)
    assert record.parameters == {"epochs": 3}
    assert record.rows == {"R1": [{"x": 1, "y": 0.5}, {"x": 2, "y": None}]}
    assert record.claims == [Claim("R1", "A beats B", 0.1, "points", "")]
    assert record.seconds > 0
    assert record.peak_memory_mb > 50
    assert record.versions["torch"] == torch.__version__
    assert record.hardware["threads"] == torch.get_num_threads()
    assert set(record.code) == {
        "experiment",
        "measure.intervals.Interval",
        "measure.intervals.mean_interval",
        "randomness.seeded",  # by every run
    }


def test_the_versions_are_those_of_the_libraries_that_were_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", SimpleNamespace(__version__="0.1"))
    monkeypatch.setitem(sys.modules, "imagecorruptions", SimpleNamespace())  # does not tell its version
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    found = versions()
    assert found["scikit-image"] == "0.1"
    assert found["imagecorruptions"] == importlib.metadata.version("imagecorruptions")
    assert "opencv" not in found
    assert found["python"] == platform.python_version()


def test_under_labkit_run_the_record_goes_to_results(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    run(book, 0, 0.1)
    assert (book / "results/p00-trial/laptop/seed-0.json").is_file()
    assert not (book / "runs").exists()


def test_recorded_runs_are_seen_first_and_quoted_with_their_interval(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    for seed, value in enumerate((0.5, 0.6, 0.7)):
        run(book, seed, value - 0.4, value=value)
    monkeypatch.delenv("LABKIT_RESULTS")
    lab = run(book, 0, -0.2, profile="smoke", value=0.3)
    recorded, here = lab.views()
    assert (recorded.label, here.label) == ("recorded: laptop, 3 seeds", "this run: smoke, seed 0")
    assert [row["seed"] for row in recorded.rows("R1")] == [0, 0, 1, 1, 2, 2]
    half = 100 * 4.302653 * 0.1 / math.sqrt(3)
    assert lab.report().quote("accuracy") == f"60.0 [{60 - half:.1f}, {60 + half:.1f}]\u00a0%"
    text = lab.report()._repr_markdown_()
    assert "| R1 | accuracy | 60 % | 60.0 [" in text
    assert "| 30.0\u00a0% |" in text
    assert "-20.0\u00a0points, does not hold" in text
    assert "Stale" not in text
    with pytest.raises(LabkitError, match="'accuracy'"):
        lab.report().quote("acuracy")


def test_pictures_are_kept_and_checked(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    run(book, 0, 0.1)
    lab = run(book, 1, 0.1)
    [record] = lab.recorded
    kept = lab.picture(record, "R1")
    assert kept
    assert kept.startswith(b"\x89PNG")
    (book / "results/p00-trial/laptop/seed-0-R1.png").write_bytes(b"altered")
    with pytest.raises(LabkitError, match=r"seed-0-R1\.png"):
        lab.picture(record, "R1")


def test_only_the_pictures_of_seed_0_are_kept_and_the_hashes_of_all(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    folder = book / "results/p00-trial/laptop"
    run(book, 1, 0.1)
    here = run(book, 2, 0.1)
    assert not list(folder.glob("*.png"))
    alt = "A picture of one colour, all of it."
    assert sheet(here, "R1", alt=alt).html().count("<img") == 1  # this run's: nothing recorded to be shown
    run(book, 0, 0.1)
    assert [path.name for path in folder.glob("*.png")] == ["seed-0-R1.png"]
    assert sheet(run(book, 3, 0.1), "R1", alt=alt).html().count("<img") == 2
    sheets = [read_record(folder / f"seed-{seed}.json").sheets["R1"].split() for seed in (0, 1)]
    assert [name for name, _ in sheets] == ["seed-0-R1.png", "-"]
    assert len({known for _, known in sheets}) == 2


def test_a_change_of_the_experiment_makes_records_stale_and_one_of_a_figure_does_not(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    run(book, 0, 0.1)
    source = book / "book" / "p00-trial.md"
    source.write_text(CHAPTER.replace("import bars", "import bars, curves  # prettier"))
    assert open_lab("p00-trial", profile="smoke", seed=0).code.word == "fresh"
    source.write_text(CHAPTER.replace("smoke=10", "smoke=5").replace("full=30", "full=300"))
    assert open_lab("p00-trial", profile="smoke", seed=0).code.word == "fresh"
    for old, new in (("mean_interval", "Interval"), ("laptop=20", "laptop=21")):
        source.write_text(CHAPTER.replace(old, new))
        assert open_lab("p00-trial", profile="smoke", seed=0).code.changed == ["experiment"]


def test_smoke_runs_on_embedded_images_whatever_is_there(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(book))
    lab = open_lab("p00-trial", profile="smoke", seed=0)
    train, test = lab.images("cifar10")
    assert (train.name, len(train), len(test)) == ("glyphs/train", 4_000, 300)
    with pytest.raises(LabkitError, match="cifar10"):
        open_lab("p00-trial", profile="laptop", seed=0).images("cifar10")


def test_a_run_that_is_not_smoke_can_be_resumed(book: Path) -> None:
    assert open_lab("p00-trial", profile="smoke", seed=0).checkpoint("dense net") == []
    keys = []
    for parameters in ({"epochs": 1}, {"epochs": 1}, {"epochs": 2}):
        lab = open_lab("p00-trial", profile="laptop", seed=3, **parameters)
        _, checkpoint = lab.checkpoint("Dense, net")
        assert checkpoint.path == book / "runs/p00-trial/laptop/seed-3/dense-net.safetensors"
        keys.append(checkpoint.key)
    assert keys[0] == keys[1] != keys[2]


def test_a_record_counts_the_seconds_of_the_processes_before_a_resume(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    training = Training({}, steps=9)
    lab, states = None, [{}]
    for _ in range(3):  # two processes killed after 40 s, 30 s into a training; the third one ends
        lab = open_lab("p00-trial", profile="laptop", seed=3)
        clock, _ = lab.checkpoint("dense net")
        now += 10
        clock.on_start(training)
        if states[-1]:
            clock.restore(states[-1])
        now += 30
        states.append(clock.state())
    lab.close()
    assert states[1:] == [{"seconds": 30.0}, {"seconds": 60.0}, {"seconds": 90.0}]
    assert read_record(book / "runs/p00-trial/laptop/seed-3.json").seconds == 60 + 40


def test_one_line_errors_name_what_is_allowed(book: Path) -> None:
    with pytest.raises(LabkitError, match="smoke, laptop, full"):
        open_lab("p00-trial", profile="tiny", seed=0)
    with pytest.raises(LabkitError, match="the book has: p00-trial"):
        open_lab("p99", profile="smoke", seed=0)
    lab = run(book, 0, 0.1)
    for wrong in (
        lambda: lab.claim("R1", "A beats B", 1.0),
        lambda: lab.number("R1", "accuracy", 1.0),
        lambda: lab.record("R2", []),
        lambda: lab.sheet("R2", torch.randint(0, 256, (300, 300, 3), dtype=torch.uint8)),
    ):
        with pytest.raises(LabkitError):
            wrong()


@pytest.mark.parametrize("rows", [[{"x": float("nan")}], [{"x": torch.ones(2)}], [{"x": "long" * 60_000}]])
def test_a_record_that_cannot_be_read_is_not_written(book: Path, rows: list[dict[str, object]]) -> None:
    lab = open_lab("p00-trial", profile="smoke", seed=0)
    lab.record("R1", rows)
    with pytest.raises(LabkitError, match="record of p00-trial"):
        lab.close()
    assert not list(book.glob("runs/**/*.json"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content | {"schema": 2},
        lambda content: content | {"profile": "tiny"},
        lambda content: content | {"surplus": 1},
        lambda content: {k: v for k, v in content.items() if k != "claims"},
        lambda content: [],
    ],
)
def test_a_damaged_record_is_named(book: Path, damage) -> None:
    run(book, 0, 0.1)
    path = book / "runs/p00-trial/laptop/seed-0.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(LabkitError, match=r"seed-0\.json is not a record"):
        read_record(path)


def test_the_text_of_a_record_is_its_content(book: Path) -> None:
    record = Record(
        "p00-trial", "smoke", 0, rows={"R1": [{"a": "x},{y", "b": 1 / 3}]}, data=[{}], parameters={}
    )
    again = read_record(record.write(book))
    assert again.rows == record.rows  # of a smoke run, to the last digit
    assert again.data == [{}]
    record.profile = "laptop"
    assert read_record(record.write(book)).rows == {"R1": [{"a": "x},{y", "b": 0.333333}]}


@pytest.mark.parametrize(
    ("effects", "verdict"),
    [
        ([0.10, 0.11, 0.12], "reproduced"),
        ([-0.10, -0.11, -0.12], "not reproduced"),
        ([0.0, 0.0, 0.0], "not reproduced"),
        ([0.30, -0.10, 0.10], "undecided"),
        ([0.30], "undecided"),
    ],
)
def test_the_verdict_follows_the_interval(effects: list[float], verdict: str) -> None:
    assert judge([Claim("R1", "A beats B", effect, "", "") for effect in effects]).verdict == verdict


def test_a_disk_that_is_full_leaves_nothing_behind(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    lab = open_lab("p00-trial", profile="smoke", seed=0)
    lab.record("R1", [{"x": 1}])
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LabkitError, match="No space left"):
        lab.close()
    assert [path for path in book.glob("runs/**/*") if path.is_file()] == []


def test_values_are_told_with_interval_and_unit() -> None:
    assert with_interval((0.5, 0.4, 0.6), 100, "%") == "50.0 [40.0, 60.0]\u00a0%"
    assert with_interval((1.234,), 1, "") == "1.23"
    assert with_interval((2839.6, 999.9, 4679.4), 1, "steps") == "2,840 [1,000, 4,679]\u00a0steps"
    assert with_interval((0.12341, 0.1234, 0.12342), 100, "%") == "12.3\u00a0%"
    assert with_interval((-0.0003,), 100, "points", "+") == "+0.0\u00a0points"


def test_the_interval_of_a_share_stays_between_nothing_and_all() -> None:
    numbers = [Number("R1", "share", value, "%", "") for value in (0.9, 0.95, 1.0)]
    records = [Record("p00", "laptop", seed, numbers=[number]) for seed, number in enumerate(numbers)]
    half = 100 * 4.302653 * 0.05 / math.sqrt(3)
    assert Report(records[0], records, []).quote("share") == f"95.0 [{95 - half:.1f}, 100.0]\u00a0%"

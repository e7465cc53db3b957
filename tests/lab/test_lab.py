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
from trial import claimed, recorded, rows, write_book

from labkit.chapters.chapter import find_chapter
from labkit.errors import LabkitError
from labkit.lab.evidence import Evidence
from labkit.lab.provenance import versions
from labkit.lab.quantities import column
from labkit.lab.record import Record, read_record, with_interval
from labkit.lab.report import Report
from labkit.lab.session import Lab, open_lab
from labkit.lab.standing import CodeState
from labkit.show.sheet import sheet
from labkit.training.callbacks import Training


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_book(tmp_path).root


def run(book: Path, seed: int, a: float = 0.5, b: float = 0.6, profile: str = "laptop") -> Lab:
    lab = open_lab("p00-trial", profile=profile, seed=seed, epochs=3)
    claimed(lab)
    lab.record("R1", rows(a, b))
    lab.sheet("R1", torch.full((4, 6, 3), seed, dtype=torch.uint8))
    lab.close()
    return lab


def test_float32_is_not_rounded_on_a_gpu(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    run(book, 0)
    assert not torch.backends.cudnn.allow_tf32


def test_a_record_holds_what_was_measured_and_made_of(book: Path) -> None:
    run(book, 4, 0.5, 0.25)
    record = read_record(book / "runs/p00-trial/laptop/seed-4.json")
    assert (record.chapter, record.profile, record.seed) == ("p00-trial", "laptop", 4)
    assert record.parameters == {"epochs": 3}
    assert record.rows == {"R1": [{"arm": "A", "accuracy": 0.5}, {"arm": "B", "accuracy": 0.25}]}
    a, b = "R1: accuracy[arm = A]", "R1: accuracy[arm = B]"
    assert record.claims == [
        f"{a} > 0.4, control",
        f"({b} - {a}) > 0, within 0.01, primary, needs (R1: accuracy[arm = A] > 0.4, control)",
        f"{b} > 0.5",
    ]
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


def test_a_cell_that_is_run_again_replaces_its_table_and_its_claims(book: Path) -> None:
    lab = open_lab("p00-trial", profile="smoke", seed=0)
    for a in (0.1, 0.2):
        claimed(lab)
        lab.record("R1", rows(a, 0.6))
        lab.record("R4 time", [{"seconds": a}], timed=True)
    record = lab.close().record
    assert record.rows == {"R1": rows(0.2, 0.6), "R4 time": [{"seconds": 0.2}]}
    assert record.timed == ["R4 time"]
    assert len(record.claims) == 3
    assert read_record(book / "runs/p00-trial/smoke/seed-0.json").timed == ["R4 time"]


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
    run(book, 0)
    assert (book / "results/p00-trial/laptop/seed-0.json").is_file()
    assert not (book / "runs").exists()


def record_three(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record seeds 0 to 2, in which A has 50, 60 and 70 %, and B each time 10 points more."""
    with monkeypatch.context() as patch:
        patch.setenv("LABKIT_RESULTS", str(book / "results"))
        for seed, value in enumerate((0.5, 0.6, 0.7)):
            run(book, seed, value, value + 0.1 + seed / 1000)


def test_one_sees_ones_own_run_first_and_on_a_page_the_recorded_ones_alone(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_three(book, monkeypatch)
    lab = run(book, 0, 0.3, 0.1, profile="smoke")
    here, recorded = lab.views("R1")
    assert (here.label, recorded.label) == ("this run: smoke, seed 0", "recorded: laptop, 3 seeds")
    assert [row["seed"] for row in recorded.rows("R1")] == [0, 0, 1, 1, 2, 2]
    names = claimed(lab)
    share = names.accuracy(arm="A")
    assert lab.report().quote(share) == "30.0\u00a0% (this run; recorded: 60.0\u00a0%)"
    half = 100 * 4.302653 * 0.1 / math.sqrt(3)
    interval = f"60.0 [{60 - half:.1f}, {60 + half:.1f}]\u00a0%"
    text = lab.report()._repr_markdown_()
    assert "| | measured | paper | recorded | this run |" in text
    assert f"| R1 | accuracy of A | – | {interval} | 30.0\u00a0% |" in text
    assert "Stale" not in text
    assert "this run: -20.0\u00a0points" in lab.report().claims()
    report = lab.report()
    assert lab.report() is report
    later = lab._evidence.claim("R1", "A is above nothing", names.accuracy(arm="A") > 0)
    assert lab.report().judged[later].verdict == "supported"
    assert later not in report.judged

    monkeypatch.setenv("LABKIT_PAGE", "1")
    lab = run(book, 0, 0.3, 0.1, profile="smoke")
    names = claimed(lab)
    assert [view.label for view in lab.views("R1")] == ["recorded: laptop, 3 seeds"]
    assert lab.report().quote(names.accuracy(arm="A")) == "60.0\u00a0%"
    text = lab.report()._repr_markdown_()
    assert f"| R1 | accuracy of A | – | {interval} |\n" in text
    assert "this run" not in text + lab.report().claims()
    # What no recorded run has is drawn from this one.
    lab.record("R2", [{"x": 1}])
    assert [view.label for view in lab.views("R2")] == ["this run: smoke, seed 0"]


def test_views_leave_out_runs_that_lack_the_table(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = open_lab("p00-trial", profile="smoke", seed=0)
    with pytest.raises(LabkitError, match=r"^p00-trial: no run has a table R1; this one has: none$"):
        lab.views("R1")
    record_three(book, monkeypatch)
    lab = open_lab("p00-trial", profile="smoke", seed=0)
    assert [view.label for view in lab.views("R1")] == ["recorded: laptop, 3 seeds"]
    lab.record("R2", [{"x": 1}])
    assert [view.label for view in lab.views("R2")] == ["this run: smoke, seed 0"]
    with pytest.raises(LabkitError, match="no run has a table R3; this one has: R2"):
        lab.views("R3")


def test_pictures_are_kept_and_checked(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    run(book, 0)
    lab = run(book, 1)
    here, recorded = lab.pictures("R1")
    assert (here[0], recorded[0]) == ("this run: laptop, seed 1", "recorded: laptop, seed 0")
    assert recorded[1].startswith(b"\x89PNG")
    assert recorded[1] != here[1]
    (book / "results/p00-trial/laptop/seed-0-R1.png").write_bytes(b"altered")
    with pytest.raises(LabkitError, match=r"seed-0-R1\.png"):
        lab.pictures("R1")
    with pytest.raises(LabkitError, match="no run has a picture of R2"):
        lab.pictures("R2")


def test_only_the_pictures_of_seed_0_are_kept_and_the_hashes_of_all(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    folder = book / "results/p00-trial/laptop"
    run(book, 1)
    here = run(book, 2)
    assert not list(folder.glob("*.png"))
    told = {"caption": "A sheet.", "alt": "A picture of one colour, all of it."}
    assert sheet(here, "R1", **told).html().count("<img") == 1  # this run's: nothing recorded to be shown
    run(book, 0)
    assert [path.name for path in folder.glob("*.png")] == ["seed-0-R1.png"]
    assert sheet(run(book, 3), "R1", **told).html().count("<img") == 2
    sheets = [read_record(folder / f"seed-{seed}.json").sheets["R1"].split() for seed in (0, 1)]
    assert [name for name, _ in sheets] == ["seed-0-R1.png", "-"]
    assert len({known for _, known in sheets}) == 2


def test_a_change_of_the_experiment_makes_records_stale_and_one_of_a_figure_does_not(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_RESULTS", str(book / "results"))
    run(book, 0)
    source = book / "book" / "p00-trial.md"
    whole = source.read_text()
    for old, new in (
        ("import bars", "import bars, curves  # prettier"),
        ('better = evidence.claim("R1", "B beats A"', 'better = evidence.claim("R1", "B is above A"'),
        ("gain > 0,", "gain > 0.02,"),
    ):
        assert old in whole
        source.write_text(whole.replace(old, new))
        assert open_lab("p00-trial", profile="smoke", seed=0).code.word == "fresh"
    source.write_text(whole.replace("smoke=10", "smoke=5").replace("full=30", "full=300"))
    assert open_lab("p00-trial", profile="smoke", seed=0).code.word == "fresh"
    for old, new in (("mean_interval([", "max(["), ("laptop=20", "laptop=21")):
        source.write_text(whole.replace(old, new))
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
    monkeypatch.setattr(time, "process_time", lambda: now)
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
    lab = run(book, 0)
    for wrong in (
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
        lambda content: content | {"schema": 4},
        lambda content: content | {"profile": "tiny"},
        lambda content: content | {"surplus": 1},
        lambda content: {k: v for k, v in content.items() if k != "claims"},
        lambda content: [],
    ],
)
def test_a_damaged_record_is_named(book: Path, damage) -> None:
    run(book, 0)
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
    assert with_interval((0.000625,), 100, "%") == "0.1\u00a0%"
    assert with_interval((0.0003,), 100, "%") == "0.03\u00a0%"
    assert with_interval((2839.6, 999.9, 4679.4), 1, "steps") == "2,840 [1,000, 4,679]\u00a0steps"
    assert with_interval((1.234, 0.01234, 2e9), 1, "times") == "1.23 [0.0123, 2e+09]\u00a0times"
    assert with_interval((0.12341, 0.1234, 0.12342), 100, "%") == "12.3\u00a0%"
    assert with_interval((1.0, 0.98, 1.02), 1, "nats") == "1.00 [0.98, 1.02]\u00a0nats"
    assert with_interval((0.00123, -0.0154, 0.0179), 1, "") == "0.001 [-0.015, 0.018]"
    assert with_interval((1.0, 1.0, 1.0), 1, "steps") == "1\u00a0steps"
    assert with_interval((0.1, -math.inf, math.inf), 1, "") == "0.1 [-inf, inf]"
    assert with_interval((-0.03, -0.0601, -0.0001), 100, "points", "+") == "-3.0 [-6.0, +0.0]\u00a0points"
    assert with_interval((-0.0003,), 100, "points", "+") == "-0.03\u00a0points"


def test_the_interval_of_a_share_stays_between_nothing_and_all() -> None:
    share = column("R1", "share")()
    half = 100 * 4.302653 * 0.05 / math.sqrt(3)
    told = share.text(share.mean([0.9, 0.95, 1.0]))
    assert told == f"95.0 [{95 - half:.1f}, 100.0]\u00a0%"


def test_runs_made_on_other_machines_are_told_apart(book: Path) -> None:
    chapter, gpu = find_chapter("p00-trial"), {"cpu": "a processor", "threads": 1, "gpu": "a GPU"}
    made = [recorded(chapter, 0), recorded(chapter, 1, hardware=gpu, seconds=600), recorded(chapter, 2)]
    text = Report(Evidence(), made[0], made, CodeState()).provenance()
    cpu = "seeds 0, 2, 1 minutes each on a processor, 2 threads, float32, torch 2.13.0"
    assert f"Recorded: profile `laptop`, {cpu}" in text
    assert "; seeds 1, 10 minutes each on a GPU, float32, torch 2.13.0" in text

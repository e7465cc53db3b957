"""`labkit replay` against real edits: it vouches for those that change nothing, and refuses all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trial
from click.testing import CliRunner
from trial import PARAMETERS, cell, commit_with_package, git, write_book

from labkit.chapters.chapter import Chapter
from labkit.commands.records import verify
from labkit.errors import LabkitError
from labkit.lab import provenance
from labkit.lab.provenance import code_hashes
from labkit.lab.record import read_record, records
from labkit.lab.replay import FILE, _executable, replay
from labkit.lab.standing import code_state
from labkit.source.files import snapshot

INTERVALS = "labkit/measure/intervals.py"
# A lab of its own: the real one takes seconds to import.
LAB = """
import time
from types import SimpleNamespace

class Lab:
    _pictures = {"R1": b"a picture"}
    _record = SimpleNamespace(rows={}, timed=["R4 time"], machine="m", precision="float32")
    _record.versions = {"torch": "2"}

    def pick(self, smoke, laptop, full):
        return smoke

lab = Lab()
size = lab.pick(smoke=3, laptop=2000, full=3000)
found = mean_interval([0.1, 0.2, size])
lab._record.rows["R1"] = [{"mean": found.mean, "low": found.low}]
lab._record.rows["R4 time"] = [{"seconds": time.perf_counter()}]
"""


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Chapter]:
    """Make a book whose records were made when `old` stood in a file where now there is `new`."""
    monkeypatch.chdir(tmp_path)
    silent = cell("from labkit.measure.intervals import mean_interval", "figure")
    chapter = write_book(tmp_path, PARAMETERS, silent, cell(LAB))
    commit_with_package(tmp_path)

    def make(new: str, old: str, file: str = INTERVALS) -> Chapter:
        now = (tmp_path / file).read_text()
        assert new in now
        (tmp_path / file).write_text(now.replace(new, old))
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "then")
        sha = git(tmp_path, "rev-parse", "HEAD")
        for seed in (0, 1):
            record = trial.recorded(chapter, seed, rows={"R1": [{"mean": float(seed)}]})
            record.code = provenance.reach_at(chapter, "laptop", sha).hashes()
            record.write(tmp_path / "results")
        (tmp_path / file).write_text(now)
        return chapter

    return make


MEAN = "n, mean = len(values), float(np.mean(values))"
TWO_LINES = "n = len(values)\n    mean = float(np.mean(values))"


def test_a_refactoring_that_changes_nothing_is_vouched_for_and_only_that(
    recorded: Callable[..., Chapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    chapter = recorded(MEAN, TWO_LINES)
    folder = chapter.root / "results/p00-trial/laptop"
    made = [read_record(folder / f"seed-{seed}.json") for seed in (0, 1)]
    assert code_state(made, chapter).word == "stale"

    kept = replay(chapter, "laptop")
    assert kept is not None
    # Two numbers of a row and the hash of a picture; the time is left aside.
    assert (kept.compared, kept.excused) == (3, ["table R4 time"])
    assert kept.changed == ["measure.intervals.mean_interval"]
    state = code_state(made, chapter)
    assert state.word == "replayed"
    assert "gives the same 3 values with the code of commit" in state.sentence
    assert "The recorded runs were not repeated" in state.sentence
    result = CliRunner().invoke(verify, ["--strict"])
    assert result.output == "p00 laptop: seeds 0, 1; replayed: measure.intervals.mean_interval changed\n"
    assert result.exit_code == 0

    # Another edit, and it vouches no more: from the recorded commit alone one could go on.
    files = snapshot()
    edited = files[INTERVALS].replace("ddof=1", "ddof=0")
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "snapshot", lambda: files | {INTERVALS: edited})
        assert code_state(made, chapter).word == "stale"

    text = (folder / FILE).read_text()
    (folder / FILE).write_text(text.replace('"compared":3', '"compared":9'))
    assert f"{FILE}: is not a replay" in CliRunner().invoke(verify).output
    (folder / FILE).write_text(text)
    git(chapter.root, "commit", "-qm", "later", "--allow-empty")
    for path in folder.glob("seed-*.json"):
        record = read_record(path)
        record.code, record.commit = code_hashes(chapter, "laptop"), {"sha": "a" * 40, "clean": True}
        record.write(chapter.root / "results")
    assert f"{FILE}: is of other records" in CliRunner().invoke(verify).output
    assert replay(chapter, "laptop") is None
    assert not (folder / FILE).exists()


HALF = "    half = float("
REFUSED = {
    "the last digit": ("mean - half, mean + half", "mean - half * (1 + 2**-52), mean + half", "table R1"),
    "a line that was not executed": (
        HALF,
        f"    if n > 1000:\n        mean = 0.0\n{HALF}",
        r"does not execute what differs at commit .*intervals.py:\d+: mean = 0.0",
    ),
    "a definition that is gone": (
        HALF,
        f"    if n > 1000:\n        half = other(n)\n{HALF}",
        "does not execute what differs at commit",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_proved_is_refused(recorded: Callable[..., Chapter], name: str) -> None:
    chapter = recorded(*REFUSED[name][:2])
    with pytest.raises(LabkitError, match=REFUSED[name][2]):
        replay(chapter, "laptop")
    assert not (chapter.root / "results/p00-trial/laptop" / FILE).exists()


def test_a_new_line_that_was_not_executed_is_refused(recorded: Callable[..., Chapter]) -> None:
    # The small run has three values: the line for a single one stays untried.
    chapter = recorded("    if n == 1:\n        return Interval(mean, math.nan, math.nan, n)\n", "")
    with pytest.raises(LabkitError, match=r"what differs now, .*: return Interval\(mean, math.nan"):
        replay(chapter, "laptop")


def test_other_sizes_are_refused_although_the_small_run_is_the_same(
    recorded: Callable[..., Chapter],
) -> None:
    chapter = recorded("laptop=2000", "laptop=1000", "book/p00-trial.md")
    with pytest.raises(LabkitError, match="the sizes of laptop are not those of commit"):
        replay(chapter, "laptop")


def test_the_small_run_may_have_been_trimmed_since(recorded: Callable[..., Chapter]) -> None:
    chapter = recorded("smoke=3, laptop=2000", "smoke=(\n    5\n), laptop=2000", "book/p00-trial.md")
    assert code_state(records(chapter, chapter.root / "results", "laptop"), chapter).word == "fresh"
    source = chapter.source.read_text()
    chapter.source.write_text(source.replace("mean_interval([0.1,", "mean_interval([0.1 + 0,"))
    kept = replay(chapter, "laptop")
    assert kept is not None
    assert kept.changed == ["experiment"]


def test_records_of_a_gpu_are_not_vouched_for(recorded: Callable[..., Chapter]) -> None:
    chapter = recorded(MEAN, TWO_LINES)
    record = read_record(chapter.root / "results/p00-trial/laptop/seed-0.json")
    record.hardware["gpu"] = "a GPU"
    record.write(chapter.root / "results")
    with pytest.raises(LabkitError, match="was recorded on a GPU"):
        replay(chapter, "laptop")


def test_lines_that_only_raise_need_not_be_executed() -> None:
    source = "def f(x):\n    if x:\n        raise ValueError(\n            x\n        )\n    return x\n"
    assert _executable(source) == {1, 2, 6}

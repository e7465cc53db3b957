"""Chapters run under this Python; what goes wrong is one line and leaves its traces in runs/."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit.batch import runner
from labkit.batch.jobs import perform
from labkit.batch.plan import Job
from labkit.batch.runner import run
from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError


def seen(chapter: Chapter) -> list[Any]:
    """Return what the chapter's cells saw of the world."""
    return json.loads((chapter.root / "seen.json").read_text())


def files(chapter: Chapter) -> list[str]:
    return sorted(path.name for path in (chapter.root / "runs").rglob("*.ipynb"))


def test_a_run_takes_its_parameters_and_is_executed_by_this_python(
    paired: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user's own python3 kernel, found before all others, that belongs to another installation.
    spec = paired.root / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = ["/bin/false", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(paired.root / "jupyter"))
    monkeypatch.setenv("LABKIT_RESULTS", "as before")

    executed = run(paired, "laptop", 3, {})

    results, notebooks = paired.root / "results", paired.root / "notebooks"
    assert seen(paired)[:-1] == ["laptop", 3, 0, 0.1, False, sys.executable, str(results), str(notebooks)]
    assert executed == paired.root / "runs" / "t01-tiny" / "laptop" / "seed-3.ipynb"
    assert files(paired) == ["seed-3.ipynb"]
    outputs = [cell.outputs for cell in nbformat.read(executed, 4).cells if cell.get("outputs")]
    assert outputs[0][0].text == "two\n"
    assert os.environ["LABKIT_RESULTS"] == "as before"


def test_a_failing_cell_is_one_line_and_its_traceback_stays(paired: Chapter) -> None:
    with pytest.raises(LabkitError) as caught:
        run(paired, "smoke", 0, {"epochs": 13})
    where = "runs/t01-tiny/smoke/epochs=13/seed-0.failed.ipynb"
    assert str(caught.value) == f"t01-tiny: cell In [6] of {where} failed: ValueError: thirteen is too many"
    assert "ValueError" in (paired.root / where).read_text()
    assert files(paired) == ["seed-0.failed.ipynb"]

    paired.source.write_text(paired.source.read_text().replace("== 13", "== 14"))
    run(paired, "smoke", 0, {"epochs": 13})
    assert files(paired) == ["seed-0.ipynb"]


def test_a_kernel_that_dies_is_one_line(paired: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    paired.source.write_text(paired.source.read_text().replace("import time", "os.kill(os.getpid(), 9)"))
    told = []
    for start in (
        "",  # it lives until the last cell
        "import os, sys\nif 'ipykernel_launcher' in sys.orig_argv:\n    os._exit(1)\n",
    ):
        (paired.root / "sitecustomize.py").write_text(start)
        monkeypatch.setenv("PYTHONPATH", str(paired.root), prepend=os.pathsep)
        with pytest.raises(LabkitError) as caught:
            run(paired, "smoke", 0, {})
        told.append(str(caught.value))
        assert files(paired) == ["seed-0.failed.ipynb"]
    died = "t01-tiny: the kernel died, perhaps for want of memory"
    kept = "runs/t01-tiny/smoke/seed-0.failed.ipynb has the cells before"
    assert told == [
        f"{died} (Kernel died); {kept}",
        f"{died} (Kernel died before replying to kernel_info); {kept}",
    ]


@pytest.mark.parametrize(
    ("profile", "parameters", "recorded"),
    [("laptop", {"epochs": 0}, True), ("laptop", {"epochs": 5}, False), ("smoke", {}, False)],
)
def test_trials_and_smoke_runs_are_not_recorded(
    paired: Chapter, profile: str, parameters: dict[str, int], recorded: bool
) -> None:
    run(paired, profile, 0, parameters)
    assert (seen(paired)[6] == str(paired.root / "results")) == recorded


RECORDS = """
import pathlib

folder = pathlib.Path(os.environ["LABKIT_RESULTS"], "t01-tiny", profile)
folder.mkdir(parents=True)
for name in (f"seed-{seed}.json", f"seed-{seed}-R1.png"):
    (folder / name).write_text(str(epochs))
"""


def test_trials_keep_apart(paired: Chapter) -> None:
    paired.source.write_text(paired.source.read_text().replace("import time\n", RECORDS))
    where = paired.root / "runs/t01-tiny/smoke"
    (where / "epochs=2/seed-0.record/t01-tiny").mkdir(parents=True)  # of a run that was killed
    for parameters in ({}, {"epochs": 2}, {"epochs": 2, "rate": 0.5}):
        run(paired, "smoke", 0, parameters)
    texts = {str(path.relative_to(where)): path.read_text() for path in where.rglob("*.json")}
    assert texts == {"seed-0.json": "0", "epochs=2/seed-0.json": "2", "epochs=2,rate=0.5/seed-0.json": "2"}
    outcome = perform(Job("t01-tiny", "smoke", 0, {"epochs": 3}, str(paired.root)))
    record = "runs/t01-tiny/smoke/epochs=3/seed-0.json"
    assert outcome.detail == f"{record} and {record.replace('json', 'ipynb')}"
    assert sorted(path.name for path in (where / "epochs=2").iterdir()) == [
        "seed-0-R1.png",
        "seed-0.ipynb",
        "seed-0.json",
    ]


def test_in_a_log_a_long_cell_shows_a_sign_of_life(
    paired: Chapter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "LIFE", 0.2)
    paired.source.write_text(
        paired.source.read_text().replace("== 60", "== 1").replace("sleep(60)", "sleep(2)")
    )
    run(paired, "smoke", 0, {"epochs": 1})
    told = [line for line in capsys.readouterr().err.splitlines() if "minutes" in line]
    assert "t01 smoke seed 0: 0 minutes, in cell 7 of 7" in told
    time.sleep(0.5)
    assert capsys.readouterr().err == "", "it ends with the run"


def test_what_runs_is_the_source_whatever_the_notebook_holds(paired: Chapter) -> None:
    paired.source.write_text(paired.source.read_text().replace("seed = 0", "seed = 0\nextra = 5"))
    paired.notebook.write_text("{}")
    run(paired, "smoke", 0, {"extra": 6})
    assert "extra = 6" in (paired.root / "runs/t01-tiny/smoke/extra=6/seed-0.ipynb").read_text()
    assert paired.notebook.read_text() == "{}"


def test_an_interrupt_stops_the_kernel_and_keeps_the_cells_so_far(paired: Chapter) -> None:
    command = [
        sys.executable,
        "-c",
        "from labkit.commands.main import main; main()",
        "run",
        "t01",
        "-p",
        "epochs=60",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    trace = paired.root / "runs" / "t01-tiny" / "smoke" / "epochs=60" / "seed-0.running.ipynb"
    deadline = time.monotonic() + 30
    while not _is_sleeping(trace) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "Stopped; the cells so far are in runs/t01-tiny/smoke/."
    assert "Traceback" not in errors
    assert files(paired) == ["seed-0.running.ipynb"]
    assert "two" in trace.read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(seen(paired)[-1], 0)


def _is_sleeping(trace: Path) -> bool:
    """Return whether the last cell has begun."""
    try:
        return bool(nbformat.read(trace, 4).cells[-1].metadata.papermill.status == "running")
    except (FileNotFoundError, ValueError):
        return False

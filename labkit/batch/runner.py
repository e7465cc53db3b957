"""Running one chapter through papermill, at a chosen size, seed and parameters."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError

from labkit.chapters.chapter import Chapter
from labkit.chapters.kernel import ThisPython, records_go_to
from labkit.chapters.pairing import notebook_from
from labkit.chapters.parameters import Value, checked, parameters_of, trial_of
from labkit.errors import LabkitError, one_line

LIFE = 300.0  # seconds between two signs of life in a log


def defaults_of(chapter: Chapter) -> dict[str, Value]:
    """Return the chapter's parameters with their defaults; raises LabkitError as `parameters_of`."""
    return parameters_of(notebook_from(chapter), chapter.slug)


def record_of(chapter: Chapter, profile: str, seed: int, parameters: Mapping[str, Any]) -> Path | None:
    """Return the file under ``results/`` that this run writes; None for one that is not recorded.

    A trial with other parameters must not replace the record of the chapter as it is written, and a smoke
    run shows that the cells run, not what they find.
    """
    defaults = defaults_of(chapter)
    values = checked({"profile": profile, "seed": seed, **parameters}, defaults, chapter.slug)
    if profile == "smoke" or trial_of(values, defaults):
        return None
    return chapter.root / "results" / chapter.slug / profile / f"seed-{seed}.json"


def run(
    chapter: Chapter, profile: str, seed: int, parameters: Mapping[str, Any], *, verbose: bool = False
) -> Path:
    """Execute the chapter and return the executed notebook, ``runs/<slug>/<profile>/seed-<n>.ipynb``.

    What runs is what the source makes, whatever is in ``notebooks/``. The record goes to the same path under
    ``results/``; that of the smoke profile stays beside the notebook, and so does that of a trial, a run with
    a parameter that is not its default, for which both lie in a folder of the trial, ``epochs=2/``. While it
    runs, the notebook is called ``seed-<n>.running.ipynb`` and grows cell by cell; that is what an interrupt
    leaves. A bar counts the cells, in a log a line tells now and then which cell runs; with `verbose` the
    chapter's own lines are shown as they are printed.

    Raises LabkitError before the first cell where a parameter is unknown or has another type, and after a
    failing cell, whose traceback is then in ``seed-<n>.failed.ipynb``.
    """
    defaults = defaults_of(chapter)
    values = checked({"profile": profile, "seed": seed, **parameters}, defaults, chapter.slug)
    recorded, folder = record_of(chapter, profile, seed, parameters), folder_of(chapter, profile, parameters)
    folder.mkdir(parents=True, exist_ok=True)
    running, failed, done = (folder / f"seed-{seed}{state}.ipynb" for state in (".running", ".failed", ""))
    scratch = folder / f"seed-{seed}.record"  # what a killed run left there goes with the next
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with (
            records_go_to(chapter.root / "results" if recorded else scratch),
            alive(running, f"{chapter.number} {profile} seed {seed}"),
        ):
            papermill.execute_notebook(
                notebook_from(chapter),
                running,
                values,
                kernel_name="python3",
                kernel_manager_class=ThisPython,
                # Asked to end in the middle of a cell (Ctrl-C), a kernel prints a traceback.
                shutdown_kernel="immediate",
                cwd=chapter.notebook.parent,
                # Below a bar that counts runs it leaves nothing behind.
                progress_bar={"desc": f"{chapter.number} {profile} seed {seed}", "leave": None},
                stdout_file=sys.stdout if verbose else None,
                # A training cell may take an hour: its own progress bar is shown to whoever is watching.
                stderr_file=sys.stderr if verbose or sys.stderr.isatty() else None,
            )
    except PapermillExecutionError as error:
        running.replace(failed)
        raise LabkitError(
            f"{chapter.slug}: cell In [{error.exec_count}] of {failed.relative_to(chapter.root)} failed: "
            f"{one_line(error.ename, error.evalue)}"
        ) from error
    except RuntimeError as error:  # the kernel did not start, or died
        running.replace(failed)
        raise LabkitError(
            f"{chapter.slug}: the kernel died, perhaps for want of memory ({error}); "
            f"{failed.relative_to(chapter.root)} has the cells before"
        ) from error
    # A record that is none of the book's, with its pictures.
    for path in (scratch / chapter.slug / profile).glob("*"):
        path.replace(folder / path.name)
    shutil.rmtree(scratch, ignore_errors=True)
    failed.unlink(missing_ok=True)
    return running.replace(done)


def folder_of(chapter: Chapter, profile: str, parameters: Mapping[str, Any]) -> Path:
    """Return the folder under ``runs/`` that a run leaves its files in: trials have their own."""
    return chapter.root / "runs" / chapter.slug / profile / trial_of(parameters, defaults_of(chapter))


@contextmanager
def alive(running: Path, name: str) -> Iterator[None]:
    """Tell in a log, where no bar moves, every `LIFE` seconds which cell of the notebook `running` runs."""
    ended, started = Event(), time.monotonic()

    def tell() -> None:
        while not ended.wait(LIFE):
            minutes = (time.monotonic() - started) / 60
            print(f"{name}: {minutes:.0f} minutes, {_at(running)}", file=sys.stderr, flush=True)

    thread = Thread(target=tell, daemon=True)
    if not sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        ended.set()


def _at(running: Path) -> str:
    """Return which cell of a notebook is being executed, in words."""
    try:
        cells = json.loads(running.read_text(encoding="utf-8"))["cells"]
        states = [cell["metadata"].get("papermill", {}).get("status") for cell in cells]
        return f"in cell {states.index('running') + 1} of {len(cells)}"
    except (OSError, ValueError, KeyError):  # it is just being written
        return "between two cells"

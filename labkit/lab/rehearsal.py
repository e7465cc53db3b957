"""Rehearsal: that the experiment of a profile runs, before somebody has the machine to run it whole.

Its cells run once, in the order of the chapter, with the real code, data and sizes of networks and batches;
but every training takes three steps or a few more, and every pass over images two small batches
(`labkit.lab.abridged`). What is neither, such as a map of points, runs whole. So a rehearsal shows that each
line runs, that shapes fit, that the record can be written, and about how long it would take.

It does not show that anything is learned, what a claim's verdict would be, how much memory a long run or a
whole set needs, that a run survives being killed, nor anything about another machine: on a CPU, nothing about
a GPU. The time is made of a few steps and small batches: good within a factor of about two, less so where
other programs share caches and memory, or several threads share fewer cores.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from labkit.chapters.chapter import Chapter
from labkit.chapters.parameters import parameters_of
from labkit.errors import LabkitError
from labkit.lab import provenance
from labkit.lab.faults import check_fields, commit_faults
from labkit.lab.provenance import experiment_cells, reach
from labkit.lab.record import sealed, unsealed
from labkit.paths import python_path, write_atomically
from labkit.profile import Profile
from labkit.source.files import PACKAGE

FILE = "rehearsal.json"
COLUMNS = {"training", "steps", "seconds a step"}


@dataclass(frozen=True)
class Rehearsal:
    """What the experiment of one chapter and profile would take: `trainings` has a row for each.

    `hours` is the estimate for all of it on `machine`; `seconds` is what the rehearsal took. `code` and
    `commit` are as in a record.
    """

    chapter: str
    profile: Profile
    code: dict[str, str]
    commit: dict[str, Any]
    trainings: list[dict[str, Any]]
    passes: int
    hours: float
    seconds: int
    machine: str
    precision: str
    versions: dict[str, str]
    date: str

    @property
    def cost(self) -> str:
        """The estimate in words."""
        time = f"{self.hours:,.0f} hours" if self.hours >= 9.5 else f"{self.hours:.1f} hours"
        return f"about {time} on {self.machine}, {self.precision}"

    def summary(self) -> str:
        """Return the sums in a line."""
        steps = sum(row["steps"] for row in self.trainings)
        return (
            f"{len(self.trainings):,} trainings of {steps:,} steps, {self.passes:,} passes over images: "
            f"{self.cost} (rehearsed in {self.seconds} seconds)"
        )

    def changed(self, chapter: Chapter) -> list[str]:
        """Return the names of the definitions that are others now: where there are any, it is stale."""
        now = reach(chapter, self.profile)
        return [] if now.hashes() == self.code else now.causes(self.code) or ["the code it reaches"]


def read_rehearsal(chapter: Chapter, profile: Profile) -> Rehearsal | None:
    """Return the rehearsal kept beside the chapter's records of `profile`, None where there is none.

    Raises LabkitError where its file is damaged.
    """
    path = chapter.root / "results" / chapter.slug / profile / FILE
    try:
        found = Rehearsal(**unsealed(path))
        check_fields(found)
        if any(row.keys() != COLUMNS or type(row["steps"]) is not int for row in found.trainings):
            raise ValueError("its trainings cannot be read")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LabkitError) as error:
        raise LabkitError(f"{path} is not a rehearsal: {error}") from error
    return found


def rehearsal_faults(chapter: Chapter, profile: Profile) -> list[str]:
    """Return what is wrong with the rehearsal of the chapter and `profile`, of which there is one."""
    try:
        found = read_rehearsal(chapter, profile)
    except LabkitError as error:
        return [str(error).partition(f"{FILE} ")[2]]
    assert found is not None
    faults = list(commit_faults(chapter, found))
    if (found.chapter, found.profile) != (chapter.slug, profile):
        faults.append(f"holds {found.chapter}, {found.profile}")
    if not (math.isfinite(found.hours) and found.hours >= 0):
        faults.append(f"estimates {found.hours} hours")
    return faults


def not_yet_run(chapter: Chapter, profile: Profile) -> str:
    """Return a sentence on a `profile` of the chapter that was rehearsed and not recorded, empty for others.

    Raises LabkitError where the rehearsal is damaged.
    """
    folder = chapter.root / "results" / chapter.slug / profile
    found = None if any(folder.glob("seed-*.json")) else read_rehearsal(chapter, profile)
    if found is None:
        return ""
    changed = found.changed(chapter)
    stale = f"; stale, changed since: {', '.join(changed)}" if changed else ""
    return f"{profile}: rehearsed on {found.date}, {found.cost}, not yet run{stale}"


def rehearse(chapter: Chapter, profile: Profile, tell: Callable[[str], None]) -> Rehearsal:
    """Rehearse the experiment of `chapter` at `profile`, and keep what it would take beside the records.

    `tell` is called with a line for each training. Raises LabkitError, and keeps nothing, where a cell fails,
    which the line names by its number in the notebook, or the process is killed.
    """
    if profile == "smoke":
        raise LabkitError("smoke takes seconds and is run whole; rehearse laptop or full")
    code, commit = provenance.code_hashes(chapter, profile), provenance.commit(chapter.root)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as scratch:
        answer = _abridged(chapter, profile, Path(scratch), tell)
    made = Rehearsal(
        chapter=chapter.slug,
        profile=profile,
        code=code,
        commit=commit,
        date=datetime.date.today().isoformat(),
        **answer,
    )
    path = chapter.root / "results" / chapter.slug / profile / FILE
    write_atomically(path, sealed(dataclasses.asdict(made)).encode())
    return made


def _abridged(chapter: Chapter, profile: Profile, scratch: Path, tell: Callable[[str], None]) -> Any:
    """Return what the process of the rehearsal answers; raises LabkitError where it fails."""
    name, errors = f"{chapter.number} {profile}", scratch / "errors"
    request = {
        "cells": _cells(chapter),
        "parameters": {"profile": profile},
        "answer": str(scratch / "answer.json"),
    }
    environment = {"PYTHONPATH": python_path(PACKAGE.parent), "LABKIT_RESULTS": str(scratch / "records")}
    (scratch / "request.json").write_text(json.dumps(request), encoding="utf-8")
    with (
        (scratch / "request.json").open() as asked,
        errors.open("wb") as told,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "labkit.lab.rehearsed"],
            cwd=chapter.root,
            env={**os.environ, **environment},
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            tell(line.rstrip("\n"))
    if process.returncode < 0:
        raise LabkitError(f"{name}: the rehearsal was killed by signal {-process.returncode}")
    if process.returncode:
        last = (errors.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise LabkitError(f"{name}: the rehearsal failed: {last}")
    answer = json.loads((scratch / "answer.json").read_text(encoding="utf-8"))
    if "failed" in answer:
        raise LabkitError(f"{name}: {answer['failed']}")
    return answer


def _cells(chapter: Chapter) -> list[dict[str, Any]]:
    """Return the cells of the experiment, each with its number among all cells of the notebook."""
    notebook = chapter.read()
    parameters_of(notebook, chapter.slug)  # there is exactly one cell of them
    return [
        {
            "number": number,
            "source": cell.source,
            "computes": kept.computes,
            "parameters": "parameters" in cell.metadata.get("tags", []),
        }
        for number, cell in enumerate(notebook.cells, 1)
        for kept in experiment_cells(SimpleNamespace(cells=[cell]))
    ]

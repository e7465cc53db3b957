"""A book of one chapter, p00-trial, and the records that its runs might have left."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from labkit.chapters.chapter import Chapter
from labkit.lab import provenance
from labkit.lab.declared import evidence_of
from labkit.lab.record import Record, Row
from labkit.lab.session import Lab
from labkit.profile import Profile
from labkit.source.files import PACKAGE

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""


def cell(source: str, *tags: str) -> str:
    """Return a code cell in MyST."""
    options = f":tags: [{', '.join(tags)}]\n\n" if tags else ""
    return f"```{{code-cell}}\n{options}{source.strip()}\n```\n"


PARAMETERS = cell('profile = "smoke"\nseed = 0\nepochs = 0', "parameters")
OPEN = cell(
    'import labkit\n\nlab = labkit.open_lab("p00-trial", profile=profile, seed=seed, epochs=epochs)',
    "hide-cell",
)
CLAIMED = """
from labkit.lab.quantities import column

evidence = lab.evidence()
accuracy = column("R1", "accuracy")
gain = accuracy(arm="B") - accuracy(arm="A")
learns = evidence.control("R1", "A learns", accuracy(arm="A") > 0.4)
better = evidence.claim("R1", "B beats A", gain > 0, within=0.01, primary=True, needs=[learns])
good = evidence.claim("R1", "B is right more often than not", accuracy(arm="B") > 0.5)
evidence.number("R1", "accuracy of A", accuracy(arm="A"))
"""
CLAIMS = cell(CLAIMED, "claims", "hide-input")
EXPERIMENT = cell(
    """
from labkit.measure.intervals import mean_interval

size = lab.pick(smoke=10, laptop=20, full=30)
found = {"A": 0.5, "B": mean_interval([0.6, 0.6 + 0.01 * seed]).mean}
lab.record("R1", [{"arm": arm, "accuracy": accuracy} for arm, accuracy in found.items()])
"""
)
FIGURE = cell("from labkit.show.draw import bars", "figure")
CLOSE = cell("lab.close()")
WHOLE = (PARAMETERS, OPEN, CLAIMS, EXPERIMENT, FIGURE, CLOSE)


def text_of_chapter(*cells: str, title: str = "A trial") -> str:
    """Return the source of a chapter, by default of the whole trial."""
    return f"{HEADER}# {title}\n\n" + "\n".join(cells or WHOLE)


def write_book(root: Path, *cells: str, slug: str = "p00-trial", title: str = "A trial") -> Chapter:
    """Write a book of one chapter with these cells."""
    for folder in ("book", "notebooks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/intro\nchapters:\n- file: book/{slug}\n")
    (root / f"book/{slug}.md").write_text(text_of_chapter(*cells, title=title))
    return Chapter(slug, root)


def claimed(lab: Lab) -> SimpleNamespace:
    """Run the cell of the trial that claims, and return the names in it."""
    names: dict[str, Any] = {"lab": lab}
    exec(CLAIMED, names)
    return SimpleNamespace(**names)


def git(root: Path, *arguments: str) -> str:
    """Return what git prints."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit_with_package(root: Path) -> None:
    """Make a repository of the book, with labkit as it is here."""
    shutil.copytree(PACKAGE, root / "labkit", ignore=shutil.ignore_patterns("__pycache__"))
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "start")


def rows(a: float, b: float) -> list[Row]:
    """Return the table R1 of a run of the trial in which the two arms were so accurate."""
    return [{"arm": "A", "accuracy": a}, {"arm": "B", "accuracy": b}]


def recorded(chapter: Chapter, seed: int, profile: Profile = "laptop", **fields: Any) -> Record:
    """Return a record as a run of the chapter, as it stands and is committed, might have left it."""
    made: dict[str, Any] = {
        "parameters": {"epochs": 0},
        "data": [{"name": "shapes", "images": 9_000, "fingerprint": "abc", "differences": ""}],
        "code": provenance.code_hashes(chapter, profile),
        "commit": {"sha": "abcdef0123" * 4} | provenance.commit(chapter.root) | {"clean": True},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "hardware": {"cpu": "a processor", "threads": 2},
        "seconds": 60.5,
        "peak_memory_mb": 100,
        "rows": {"R1": rows(0.5, 0.6 + seed / 100)},
        "claims": [claim.identity for claim in evidence_of(chapter).claims],
    }
    return Record(chapter.slug, profile, seed, **(made | fields))


def lab_of(chapter: Chapter, **tables: list[Row]) -> Lab:
    """Return the lab of a run of the trial that has these tables."""
    return Lab(chapter, recorded(chapter, 0, "smoke", rows=tables), torch.device("cpu"))

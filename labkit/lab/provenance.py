"""What a run was made of: code, libraries, machine."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jupytext
import torch

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError
from labkit.machine import cpu_name
from labkit.profile import Profile
from labkit.source.files import commit_files, git, snapshot
from labkit.source.reached import Cell, Reach

# Rooms that describe, draw, run or publish what the others compute: editing them changes no result. The
# data a lab hands out enters a record by its own fingerprint, not by the code that read it.
NOT_COMPUTING = (
    "labkit",
    "labkit.lab",
    "labkit.show",
    "labkit.exercises",
    "labkit.batch",
    "labkit.site",
)
SILENT = frozenset({"bootstrap", "claims", "figure", "in-short"})  # tags of cells that compute nothing
# What opening a lab does that changes results, and what a lab hands out by calling code of its own.
ALWAYS = ("labkit.randomness.seeded",)
HANDED_OUT = {".pretrained(": "labkit.models.pretrained.pretrained"}
# Modules whose version may change a result, and what we call the library.
COMPUTING = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "cv2": "opencv",
    "imagecorruptions": "imagecorruptions",
}


def experiment_cells(notebook: Any) -> list[Cell]:
    """Return the code cells of a chapter but its exercises; those that claim, draw or tell are silent."""
    tagged = [
        (cell.source, set(cell.metadata.get("tags", [])))
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return [Cell(source, not tags & SILENT) for source, tags in tagged if "exercise" not in tags]


def reach(chapter: Chapter, profile: Profile) -> Reach:
    """Return the code that the chapter's experiment reaches in `profile`, as it is here and now.

    Of the chapter, the cells that compute count, with what the imports of all cells bind; of each choice
    between profiles only the value for this one. Raises LabkitError where a cell is not Python.
    """
    return _reach(tuple(experiment_cells(chapter.read())), profile, tuple(snapshot().items()))


@lru_cache(maxsize=256)  # many records and pages ask for the same; all chapters at two profiles must fit
def _reach(cells: tuple[Cell, ...], profile: Profile, files: tuple[tuple[str, str], ...]) -> Reach:
    return Reach(cells, profile, dict(files).get, NOT_COMPUTING, _always(cells))


def _always(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the paths of what an experiment reaches without naming it."""
    asked = (path for text, path in HANDED_OUT.items() if any(c.computes and text in c.source for c in cells))
    return (*ALWAYS, *asked)


@lru_cache(maxsize=64)
def reach_at(chapter: Chapter, profile: Profile, sha: str) -> Reach:
    """Return the code that the chapter's experiment reached at a commit.

    Raises LabkitError where the repository does not have the commit, or the commit not the chapter.
    """
    cells = cells_at(chapter, sha)
    return Reach(cells, profile, commit_files(chapter.root, sha).get, NOT_COMPUTING, _always(cells))


def cells_at(chapter: Chapter, sha: str) -> list[Cell]:
    """Return the cells that the chapter's experiment had at a commit; raises LabkitError as `reach_at`."""
    files = commit_files(chapter.root, sha)
    sources = [text for path, text in files.items() if Path(path).name == chapter.source.name]
    if len(sources) != 1:
        raise LabkitError(f"commit {sha[:8]} does not hold {chapter.source.name}")
    return experiment_cells(jupytext.reads(sources[0], fmt="md:myst"))


def code_hashes(chapter: Chapter, profile: Profile) -> dict[str, str]:
    """Return the hash of each definition that the chapter's experiment reaches in `profile`, by name."""
    return reach(chapter, profile).hashes()


def commit(root: Path) -> dict[str, Any]:
    """Return the commit the tree is at and whether its code is as committed; empty outside a git clone."""
    try:
        sha = git(root, "rev-parse", "HEAD").decode().strip()
        changed = git(root, "status", "--porcelain", "--", "labkit", "book", "requirements.txt")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"sha": sha, "clean": changed == b""}


def versions() -> dict[str, str]:
    """Return the versions of Python and of those libraries of `COMPUTING` that this process has loaded."""
    loaded = {name: sys.modules[module] for module, name in COMPUTING.items() if module in sys.modules}
    return {"python": platform.python_version()} | {
        name: getattr(module, "__version__", "") or importlib.metadata.version(name)
        for name, module in loaded.items()
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """Return processor, threads and accelerator of this machine; no name or address of it."""
    described: dict[str, Any] = {"cpu": cpu_name(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


def peak_memory_mb(device: torch.device) -> int:
    """Return the most memory used so far by this process, or on its accelerator, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit

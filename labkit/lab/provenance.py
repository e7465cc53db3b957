"""What a run was made of: code, libraries, machine."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from labkit.lab.chapter import Chapter
from labkit.lab.code import digest, meaning, modules_used
from labkit.lab.profile import Profile

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


def experiment_cells(chapter: Chapter) -> list[str]:
    """Return the code cells of the chapter that compute: none tagged `figure`, `exercise`, `bootstrap`."""
    silent = {"figure", "exercise", "bootstrap"}
    cells = [cell for cell in chapter.read().cells if cell.cell_type == "code"]
    return [cell.source for cell in cells if silent.isdisjoint(cell.metadata.get("tags", []))]


def code_hashes(chapter: Chapter, profile: Profile) -> dict[str, str]:
    """Return a hash for the chapter's experiment in `profile` and for each module of labkit that computes it.

    Comments, docstrings, formatting and the sizes of other profiles do not count: what the code does is
    hashed, not how it looks.
    """
    cells = experiment_cells(chapter)
    hashes = {"chapter": digest(meaning(cell, profile) for cell in cells)}
    for name, path in modules_used(cells, closed=NOT_COMPUTING).items():
        hashes[name] = digest([meaning(path.read_text(encoding="utf-8"))])
    return hashes


def commit(root: Path) -> dict[str, Any]:
    """Return the commit the tree is at and whether its code is as committed; empty outside a git clone."""
    try:
        sha = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "labkit", "book", "requirements.txt")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"sha": sha, "clean": changed == ""}


def versions() -> dict[str, str]:
    """Return the versions of Python and of those libraries of `COMPUTING` that this process has loaded."""
    loaded = {name: sys.modules[module] for module, name in COMPUTING.items() if module in sys.modules}
    return {"python": platform.python_version()} | {
        name: getattr(module, "__version__", "") or importlib.metadata.version(name)
        for name, module in loaded.items()
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """Return processor, threads and accelerator of this machine; no name or address of it."""
    described: dict[str, Any] = {"cpu": _cpu_name(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


def peak_memory_mb(device: torch.device) -> int:
    """Return the most memory used so far by this process, or on its accelerator, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

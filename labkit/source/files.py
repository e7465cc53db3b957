"""Where code is read from: the package that is running, or a commit."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from labkit.errors import LabkitError

PACKAGE = Path(__file__).resolve().parent.parent

# Gives the text of a file, named from the root of the book (`labkit/errors.py`), None where there is none.
Sources = Callable[[str], str | None]


def snapshot() -> dict[str, str]:
    """Return path → text of the Python files of the package that is running."""
    root = PACKAGE.parent
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@cache
def commit_files(root: Path, sha: str) -> dict[str, str]:
    """Return path → text of the Python and Markdown files of the commit `sha` of the book at `root`.

    Raises LabkitError where the repository does not have the commit.
    """
    try:
        archive = git(root, "archive", "--format=tar", sha, "labkit", "book")
    except subprocess.CalledProcessError as error:
        raise LabkitError(f"commit {sha[:8]} is not in this repository, or holds no book") from error
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            member.name: file.read().decode("utf-8")
            for member in tar
            if member.name.endswith((".py", ".md")) and (file := tar.extractfile(member))
        }


def git(root: Path, *arguments: str) -> bytes:
    """Return what git prints; raises OSError or subprocess.CalledProcessError."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout

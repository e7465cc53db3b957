"""Where the book's files are, and how files are written so that none is ever half there."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import IO

from labkit.errors import LabkitError


def book_root() -> Path:
    """Root folder of the book: the nearest folder, from here upwards, that holds `_toc.yml` and `book/`.

    Looks from the working directory first (so that a clone works wherever labkit is installed),
    then from this file. Raises LabkitError where neither leads to a book.
    """
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
                return folder
    raise LabkitError(f"no book found from {Path.cwd()} upwards: run inside a clone of the book")


def data_folder() -> Path:
    """Folder of real data sets: `LABKIT_DATA` where it is set, else the user's cache folder."""
    if folder := os.environ.get("LABKIT_DATA"):
        return Path(folder).expanduser()
    return cache_folder() / "data"


def cache_folder() -> Path:
    """Folder of what labkit keeps for the user on this machine."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "labkit"


def weights_file(name: str) -> Path:
    """Where the weights of the pretrained network `name` are kept: `weights/<name>.safetensors` there."""
    return data_folder() / "weights" / f"{name}.safetensors"


def python_path(folder: Path) -> str:
    """Return a `PYTHONPATH` for another process, which then looks in `folder` before anywhere else."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` under a temporary name, then rename: readers see the old file or the new one.

    What writers of `path` that were killed have left is removed. Raises LabkitError where the disk is full or
    the folder cannot be written; nothing is left behind.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        with _locked(path) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise LabkitError(f"cannot write {path}: {error.strerror or error}") from error


def _locked(path: Path) -> IO[bytes]:
    """Return a new temporary file for `path`; a lock that ends with this process tells that it is in use."""
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115  # the caller closes it
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        )
        with suppress(OSError):  # not every file system has locks; there nothing is swept, either
            fcntl.flock(file, fcntl.LOCK_EX)
        if Path(file.name).exists():
            return file
        file.close()  # swept away before it was locked


def _sweep(path: Path) -> None:
    """Remove the temporary files of `path` that no living process has locked."""
    for left in path.parent.glob(f".{escape(path.name)}.*.part"):
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()

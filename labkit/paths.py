"""Where the book's files are, and how files are written so that none is ever half there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

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
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "labkit" / "data"


def weights_file(name: str) -> Path:
    """Where the weights of the pretrained network `name` are kept: `weights/<name>.safetensors` there."""
    return data_folder() / "weights" / f"{name}.safetensors"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` under a temporary name, then rename: readers see the old file or the new one.

    Raises LabkitError where the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise LabkitError(f"cannot write {path}: {error.strerror or error}") from error

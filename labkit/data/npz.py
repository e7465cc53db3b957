"""Arrays of numbers in an npz that anybody may have made: nothing is unpickled, no head is believed.

An array is read only if it is stored as it is or deflated, not encrypted, and exactly as long as its head
says, so that a file takes no more memory than `MOST_DEFLATED` times its own size. Whatever else is wrong
with a file becomes a LabkitError of one line.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.errors import LabkitError

LARGEST_HEAD = 10_000  # bytes, as in numpy
MOST_DEFLATED = 100  # how many times smaller an array may be stored than it is; images are a few times
_HEAD = re.compile(
    r"\{'descr': *'(?P<descr>[^']{1,20})', *'fortran_order': *(True|False), *"
    r"'shape': *\((?P<shape>[\d ,]{0,100})\),? *\}\s*"
)


@dataclass(frozen=True)
class Head:
    """What an array says of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """Return type and shape, such as `uint8 (50000, 32, 32, 3)`."""
        return f"{self.dtype} {self.shape}"

    def is_of(self, dtype: type[np.generic], axes: int) -> bool:
        """Return whether the array has this type and so many axes."""
        return self.dtype == dtype and len(self.shape) == axes


def names(path: Path) -> list[str]:
    """Return the names of the arrays in `path`; those that are no word are left out."""
    with _opened(path) as archive:
        return [name[:-4] for name in archive.namelist() if re.fullmatch(r"\w+\.npy", name)]


def head(path: Path, name: str) -> Head:
    """Return shape and type of the array `name`, without reading more of it."""
    with _opened(path) as archive:
        return _head(archive, _member(path, archive, name))


def array(path: Path, name: str) -> NDArray[Any]:
    """Return the array `name`."""
    with _opened(path) as archive:
        member = _member(path, archive, name)
        _head(archive, member)
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy raise errors of many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise LabkitError(f"cannot read {path}: {reason}") from error


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"there is no {name} in it")
    member = archive.getinfo(f"{name}.npy")
    if member.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed by method {member.compress_type}; allowed: none, deflate")
    if member.compress_size > path.stat().st_size:
        raise ValueError(f"{name} is longer than the file")
    if member.file_size > MOST_DEFLATED * member.compress_size:
        raise ValueError(f"{name} is more than {MOST_DEFLATED} times longer than it is stored")
    return member


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Head:
    """Return the head of `member`; raises ValueError where it is no array of numbers as long as it says."""
    with archive.open(member) as file:
        start = io.BytesIO(file.read(LARGEST_HEAD))
    major, _ = np.lib.format.read_magic(start)
    length = int.from_bytes(start.read(2 if major == 1 else 4), "little")
    written = _HEAD.fullmatch(start.read(length).decode(errors="replace"))
    if written is None:
        raise ValueError(f"{member.filename} does not begin as an array of numbers does")
    shape = tuple(int(axis) for axis in written["shape"].split(",") if axis.strip())
    dtype = np.dtype(written["descr"])
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects, which are never unpickled")
    if start.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} is not as long as its head says")
    return Head(dtype, shape)

"""What is said of a real data set: where it comes from, how its files are read, what stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from labkit.data.embedded.registry import EmbeddedSet
from labkit.data.sets import DataSet

Arrays = dict[str, NDArray[Any]]
"""By name, `<split>_<what>`: `<split>_images`, uint8 (N, H, W, C), `<split>_labels`, int64 (N,), or other."""


@dataclass(frozen=True)
class PublishedFile:
    """One file as its authors published it: name on the server, sha256, size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Stored:
    """One split of a set as it is kept on disk, whole and checked.

    Attributes:
        name: name of the set and split, such as ``imdb/train``.
        arrays: by their names without that of the split.
        classes: one name a class.
        fingerprint, differences: those of the data set that is made of it.
    """

    name: str
    arrays: Arrays
    classes: tuple[str, ...]
    fingerprint: str
    differences: str


@dataclass(frozen=True)
class Source:
    """A data set that can be fetched.

    Attributes:
        description: one line: what it holds.
        licence: terms as their authors state them.
        citation: what to cite.
        also_cited: how the cards of copies in circulation cite it.
        classes: their names, in the order of the labels.
        mirrors: addresses of the folders that hold the files, fastest first.
        files: what to fetch, from any of the mirrors.
        read: from those files, in that order and already checked, to arrays.
        stand_in: the embedded set that the profile `smoke` takes instead.
        build: from what is kept of a split to the data set; None for images.
        copies: prepared copies that runs of the book used: checksum of the npz, and of the card beside it.
    """

    description: str
    licence: str
    citation: str
    also_cited: tuple[str, ...]
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[PublishedFile, ...]
    read: Callable[[list[Path]], Arrays]
    stand_in: EmbeddedSet
    build: Callable[[Stored], DataSet] | None = None
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)

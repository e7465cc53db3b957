"""Real data sets on disk: `<name>.npz` beside a card `<name>.json`, in the folder that LABKIT_DATA names.

The npz holds, for each split, `<split>_images` (uint8, NHWC) and `<split>_labels` (int64), or whatever arrays
the source of a set that is none of images builds it from. The card holds
`classes` (names, or how many), the `sha256` of the npz, and in words `licence`, `source` and `differences`
from the original set; `labkit.data.card` says how damage to it is noticed.
"""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labkit.data import card, npz
from labkit.data.card import Card
from labkit.data.images import Images
from labkit.data.sets import DataSet
from labkit.data.sources.registry import SOURCES
from labkit.data.sources.source import Arrays, Stored
from labkit.errors import LabkitError
from labkit.paths import data_folder, write_atomically


def load(name: str, split: str) -> Images:
    """Return the images of `name`, such as "cifar10", and `split`, such as "train".

    Raises LabkitError where the set or the split is not there, or where the npz is not the one its card
    was written for.
    """
    about, path = read_card(name), _path(name, "npz")
    check(name)
    with_labels = [array.removesuffix("_labels") for array in npz.names(path) if array.endswith("_labels")]
    if split not in with_labels:
        there = ", ".join(with_labels) or "none"
        raise LabkitError(f'{name} has no split "{split}" with labels; those it has: {there}')
    images, labels = npz.head(path, f"{split}_images"), npz.head(path, f"{split}_labels")
    alike = images.shape[:1] == labels.shape
    if not (images.is_of(np.uint8, 4) and labels.is_of(np.int64, 1) and alike):
        raise LabkitError(
            f"{path} holds for {split} images {images} and labels {labels}: "
            "uint8 (N, H, W, C) and int64 (N,) were expected"
        )
    x, y = npz.array(path, f"{split}_images"), npz.array(path, f"{split}_labels")
    if y.size and not 0 <= y.min() <= y.max() < len(about.classes):
        raise LabkitError(
            f"{path}: {split} labels reach outside the {len(about.classes)} classes of the card"
        )
    return Images(
        name=f"{name}/{split}",
        x=torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(),
        y=torch.from_numpy(y),
        classes=about.classes,
        fingerprint=fingerprint_of(about, split),
        differences=about.differences,
    )


def load_any(name: str, split: str) -> DataSet:
    """Return one split of any set: what its source builds of the arrays kept, or images.

    Raises LabkitError as `load`, and as the source where the arrays are not those it expects.
    """
    build = SOURCES[name].build if name in SOURCES else None
    if build is None:
        return load(name, split)
    about, path = read_card(name), _path(name, "npz")
    check(name)
    names = npz.names(path)
    arrays = {
        array.removeprefix(f"{split}_"): npz.array(path, array)
        for array in names
        if array.startswith(f"{split}_")
    }
    if not arrays:
        there = ", ".join(dict.fromkeys(array.split("_")[0] for array in names))
        raise LabkitError(f'{name} has no split "{split}"; those it has: {there}')
    mark = fingerprint_of(about, split)
    return build(Stored(f"{name}/{split}", arrays, about.classes, mark, about.differences))


def fingerprint_of(about: Card, split: str) -> str:
    """Return 16 hexadecimal digits of the sha256 over `<sha256 of the npz>/<split>`."""
    return hashlib.sha256(f"{about.sha256}/{split}".encode()).hexdigest()[:16]


def available() -> list[str]:
    """Names of the sets in the data folder, damaged ones too: every npz that has a card."""
    return sorted(path.stem for path in data_folder().glob("*.json") if path.with_suffix(".npz").is_file())


def splits(name: str) -> dict[str, tuple[int, ...]]:
    """Shape (N, H, W, C) of the images of each split, from the head of each array, without reading it."""
    path = _path(name, "npz")
    try:
        heads = {array: npz.head(path, array) for array in npz.names(path) if array.endswith("_images")}
    except LabkitError as error:
        raise LabkitError(f"{error}{_remedy(name)}") from error
    for array, head in heads.items():
        if not head.is_of(np.uint8, 4):
            raise LabkitError(f"{path} holds {array} {head}: uint8 (N, H, W, C) was expected")
    return {array.removesuffix("_images"): head.shape for array, head in heads.items()}


def heads(name: str) -> dict[str, npz.Head]:
    """Type and shape of every array of `name`, by its name, without reading it."""
    path = _path(name, "npz")
    return {array: npz.head(path, array) for array in npz.names(path)}


def size(name: str) -> int:
    """Bytes that `name` takes on disk."""
    return _path(name, "npz").stat().st_size


def read_card(name: str) -> Card:
    """Return the card of `name`; raises LabkitError where the set is not there or the card is not one."""
    path = _path(name, "json")
    for needed in (path, _path(name, "npz")):
        if not needed.is_file():
            there = ", ".join(available()) or "none"
            raise LabkitError(f"no {needed.name} in {needed.parent} (sets there: {there}){_remedy(name)}")
    try:
        with path.open("rb") as file:
            return card.read(name, file.read(card.LARGEST + 1))
    except OSError as error:
        raise LabkitError(f"cannot read {path}: {error.strerror or error}") from error
    except LabkitError as error:
        raise LabkitError(f"{path} is not the card of a data set: {error}{_remedy(name)}") from error


def check(name: str) -> None:
    """Raise LabkitError unless the npz of `name` has the checksum on its card; read once while unchanged."""
    path, expected = _path(name, "npz"), read_card(name).sha256
    try:
        state = path.stat()
        found = _sha256(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise LabkitError(f"cannot read {path}: {error.strerror or error}") from error
    if found != expected:
        raise LabkitError(
            f"{path} was altered or cut short: sha256 {found[:12]}… where its card says {expected[:12]}…"
            f"{_remedy(name)}"
        )


def write_set(name: str, arrays: Arrays, fields: dict[str, Any]) -> Path:
    """Write `arrays` (as named above) and a card of `fields`, with checksums of both; return the npz.

    The same arrays in the same order give the same bytes. The card is written last, so that a set that was
    interrupted here is never taken for whole. Raises LabkitError where it cannot be written, or for fields
    that are no card.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the names may not be its own options
    content = buffer.getvalue()
    said = card.written({"name": name, **fields, "sha256": hashlib.sha256(content).hexdigest()})
    write_atomically(_path(name, "npz"), content)
    write_atomically(_path(name, "json"), said)
    return _path(name, "npz")


def _path(name: str, suffix: str) -> Path:
    return data_folder() / f"{name}.{suffix}"


def _remedy(name: str) -> str:
    elsewhere = "set LABKIT_DATA to a folder that has it"
    return f": run `labkit data fetch {name}`, or {elsewhere}" if name in SOURCES else f": {elsewhere}"


@functools.cache
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Checksum of a file in this state: the time and size are there for the cache alone."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

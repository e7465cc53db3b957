"""What can be wrong with one record: its file, its content, its pictures, the commit it names."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, get_origin, get_type_hints

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError
from labkit.lab.provenance import reach, reach_at
from labkit.lab.record import LARGEST_BYTES, LARGEST_PICTURE, PICTURED, Record, read_record
from labkit.profile import Profile
from labkit.source.files import git
from labkit.source.reached import EXPERIMENT

# What the pages quote of a record; of sets that hold no images, the number of examples.
NEEDED = {
    "data": ("name", "images or examples", "fingerprint", "differences"),
    "weights": ("name", "source", "licence", "fingerprint"),
    "versions": ("python", "torch"),
    "hardware": ("cpu", "threads"),
}


def whole_record(path: Path) -> Record:
    """Return the record in `path`; raises LabkitError, in words, where a field of it cannot be read."""
    try:
        record = read_record(path)
        _check_shape(record)
    except LabkitError as error:
        raise LabkitError(str(error).removeprefix(f"{path} ")) from error
    return record


def record_faults(path: Path, record: Record, chapter: Chapter, defaults: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the `record` of `chapter` that was read from `path`.

    `defaults` are the parameters of the chapter: a record of others is a trial.
    """
    if (size := path.stat().st_size) > LARGEST_BYTES:
        yield f"has {size} bytes, more than {LARGEST_BYTES}"
    place = (chapter.slug, path.parent.name, path.name)
    if (record.chapter, record.profile, f"seed-{record.seed}.json") != place:
        yield f"holds {record.chapter}, {record.profile}, seed {record.seed}"
    if not record.rows or not all(record.rows.values()):
        yield "has no table" if not record.rows else "has a table without rows"
    yield from commit_faults(chapter, record)
    # The defaults are part of the chapter: where it has changed, the record is stale, not a trial.
    defaults = {k: v for k, v in defaults.items() if k not in ("profile", "seed")}
    same_chapter = EXPERIMENT not in reach(chapter, record.profile).causes(record.code)
    if same_chapter and record.parameters != defaults:
        yield f"is a trial: its parameters are {record.parameters}, the defaults {defaults}"


def pictures_faults(path: Path, record: Record) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with the pictures of the `record` in `path`, each with the path of the file."""
    for table in record.sheets:
        name, known = record.picture(table)
        if name == "-":
            if record.seed == PICTURED:
                yield path, f"keeps no picture of {table}: those of seed {PICTURED} are kept"
            if not re.fullmatch(r"[0-9a-f]{16}", known):
                yield path, f"has no hash of its picture of {table}"
            continue
        for what in _picture_faults(path.parent, name, known):
            yield path.parent / name, what


def _picture_faults(folder: Path, name: str, known: str) -> Iterator[str]:
    path = folder / name
    if not re.fullmatch(r"seed-\d+-[^/]+\.png", name) or not path.is_file():
        yield "is named by its record and missing"
        return
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest()[:16] != known:
        yield "is not the picture its record names"
    if len(content) > LARGEST_PICTURE:
        yield f"has {len(content)} bytes, more than {LARGEST_PICTURE}"


class Made(Protocol):
    """What was made by the code of a commit: a record, or a rehearsal."""

    @property
    def profile(self) -> Profile:
        """Its size."""
        ...

    @property
    def code(self) -> dict[str, str]:
        """The hash of each definition, by name."""
        ...

    @property
    def commit(self) -> dict[str, Any]:
        """The `sha`, and whether the tree was `clean`."""
        ...


def commit_faults(chapter: Chapter, record: Made) -> Iterator[str]:
    """Yield what is wrong with the commit that something made of `chapter` names."""
    sha = str(record.commit.get("sha", ""))
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        yield "names no commit"
    elif record.commit.get("clean") is not True:
        yield "was made while the code was not as committed"
    elif whole_history(chapter.root):
        try:
            code = reach_at(chapter, record.profile, sha).hashes()
        except LabkitError as error:
            yield f"was made at a commit that is not to be had: {error}"
        else:
            if code != record.code:
                yield f"was not made by the code of commit {sha[:8]}, which it names"


def whole_history(root: Path) -> bool:
    """Return whether all commits are here: not in a shallow clone, nor outside of git."""
    try:
        shallow = git(root, "rev-parse", "--is-shallow-repository").strip()
    except (OSError, subprocess.CalledProcessError):
        return False
    return (root / ".git").exists() and shallow == b"false"


def check_fields(instance: Any) -> None:
    """Raise LabkitError where a field of a dataclass does not hold what its annotation says."""
    for name, hint in get_type_hints(type(instance)).items():
        if not _is(getattr(instance, name), hint):
            raise LabkitError(f"its {name} cannot be read")


def _check_shape(record: Record) -> None:
    """Raise LabkitError where a field of the record cannot be read, or lacks what the pages quote."""
    try:
        check_fields(record)
    except LabkitError as error:
        raise LabkitError(f"is not a record: {error}") from error
    for name, keys in NEEDED.items():
        value = getattr(record, name)
        for part in value if isinstance(value, list) else [value]:
            if missing := [key for key in keys if not part.keys() & set(key.split(" or "))]:
                raise LabkitError(f"is not a record: its {name} lacks {', '.join(missing)}")


def _is(value: Any, hint: Any) -> bool:
    inner = get_args(hint)
    if hint is Any:
        return True
    if get_origin(hint) is Literal:
        return value in inner
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_is(item, inner[0]) for item in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(
            _is(key, inner[0]) and _is(item, inner[1]) for key, item in value.items()
        )
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint).items()
        return isinstance(value, hint) and all(_is(getattr(value, name), kind) for name, kind in hints)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is hint

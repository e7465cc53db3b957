"""Looking over the records in `results/`: whole, consistent, and made by the code as it is now."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from labkit.errors import LabkitError
from labkit.lab.chapter import Chapter, chapters
from labkit.lab.profile import PROFILES
from labkit.lab.record import LARGEST_BYTES, LARGEST_PICTURE, Record, read_record
from labkit.lab.standing import changed_code

RECORD = re.compile(r"seed-(0|[1-9]\d*)\.json")
# What the pages quote of a record.
NEEDED = {
    "data": ("name", "images", "fingerprint", "differences"),
    "versions": ("python", "torch"),
    "hardware": ("cpu", "threads"),
}


@dataclass
class Verification:
    """What was found: a line for each fault, a line for each chapter and profile, which of them are stale."""

    faults: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def verify(
    root: Path, chosen: Sequence[Chapter], defaults: Callable[[Chapter], Mapping[str, Any]]
) -> Verification:
    """Look over the records of the `chosen` chapters of the book at `root`.

    `defaults` gives the parameters of a chapter. Where all chapters are chosen, what lies in `results/` and
    belongs to none is a fault, too.
    """
    found, results = Verification(), root / "results"
    known = {chapter.slug for chapter in chapters(root)}
    if known == {chapter.slug for chapter in chosen}:
        found.faults += [
            f"results/{path.name}: no chapter of the book has this name"
            for path in sorted(results.glob("*"))
            if path.name not in known
        ]
    for chapter in chosen:
        _Chapter(chapter, found, defaults(chapter)).look()
    return found


class _Chapter:
    """One chapter under inspection."""

    def __init__(self, chapter: Chapter, found: Verification, defaults: Mapping[str, Any]) -> None:
        self.chapter, self.found, self.defaults = chapter, found, defaults
        self.folder = chapter.root / "results" / chapter.slug

    def look(self) -> None:
        """Add what is found to the verification."""
        if not self.folder.is_dir():
            self.found.summary.append(f"{self.chapter.number}: nothing is recorded")
            return
        # A smoke run shows that the cells run, not what they find: it is never recorded.
        for path in sorted(self.folder.iterdir()):
            if path.name not in PROFILES[1:] or not path.is_dir():
                self._fault(path, f"is not a folder named {' or '.join(PROFILES[1:])}")
        for profile in PROFILES[1:]:
            if (self.folder / profile).is_dir():
                self._profile(self.folder / profile)

    def _fault(self, path: Path, what: str) -> None:
        self.found.faults.append(f"{path.relative_to(self.chapter.root)}: {what}")

    def _profile(self, folder: Path) -> None:
        before, made, files = len(self.found.faults), [], sorted(folder.iterdir())
        named: set[str] = set()
        for path in files:
            if RECORD.fullmatch(path.name):
                if record := self._record(path):
                    made.append(record)
                    named |= {sheet.partition(" ")[0] for sheet in record.sheets.values()}
                else:  # which pictures it names cannot be known
                    named |= {picture.name for picture in folder.glob(f"{path.stem}-*.png")}
        for path in files:
            if not RECORD.fullmatch(path.name) and path.name not in named:
                self._fault(path, "is neither a record nor a picture that a record names")
        made.sort(key=lambda record: record.seed)
        for record in made[1:]:
            path = folder / f"seed-{record.seed}.json"
            for what in _differences(made[0], record):
                self._fault(path, f"{what} are not those of seed {made[0].seed}")
        self._sum_up(folder.name, made, damaged=len(self.found.faults) > before)

    def _sum_up(self, profile: str, made: Sequence[Record], *, damaged: bool) -> None:
        name = f"{self.chapter.number} {profile}"
        stale = changed_code(made, self.chapter)
        if stale:
            self.found.stale.append(name)
        state = [f"stale: {', '.join(stale)} changed"] if stale else [] if damaged else ["fresh"]
        state += ["damaged, see above"] * damaged
        seeds = ", ".join(str(record.seed) for record in made) or "none"
        self.found.summary.append(f"{name}: seeds {seeds}; {'; '.join(state)}")

    def _record(self, path: Path) -> Record | None:
        """Return the record in `path`, or None where it cannot be read; its faults are added."""
        try:
            record = read_record(path)
            _check_shape(record)
        except (LabkitError, RecursionError) as error:
            self._fault(path, str(error).removeprefix(f"{path} "))
            return None
        for what in self._faults_of(path, record):
            self._fault(path, what)
        for sheet in record.sheets.values():
            name, _, known = sheet.partition(" ")
            for what in _picture_faults(path.parent, name, known):
                self._fault(path.parent / name, what)
        return record

    def _faults_of(self, path: Path, record: Record) -> Iterator[str]:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            yield f"has {size} bytes, more than {LARGEST_BYTES}"
        place = (self.chapter.slug, path.parent.name, path.name)
        if (record.chapter, record.profile, f"seed-{record.seed}.json") != place:
            yield f"holds {record.chapter}, {record.profile}, seed {record.seed}"
        texts = [claim.text for claim in record.claims]
        if len(set(texts)) < len(texts):
            yield "makes the same claim twice"
        yield from _commit_faults(self.chapter.root, record.commit)
        # The defaults are part of the chapter: where it has changed, the record is stale, not a trial.
        defaults = {k: v for k, v in self.defaults.items() if k not in ("profile", "seed")}
        fresh = "chapter" not in changed_code([record], self.chapter)
        if fresh and record.parameters != defaults:
            yield f"is a trial: its parameters are {record.parameters}, the defaults {defaults}"


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


def _commit_faults(root: Path, commit: Mapping[str, Any]) -> Iterator[str]:
    sha = str(commit.get("sha", ""))
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        yield "names no commit"
    elif commit.get("clean") is not True:
        yield "was made while the code was not as committed"
    elif _whole_history(root) and _git(root, "cat-file", "-e", f"{sha}^{{commit}}") is None:
        yield f"names commit {sha[:8]}, which this repository does not have"


def _whole_history(root: Path) -> bool:
    """Return whether all commits are here: not in a shallow clone, nor outside of git."""
    return (root / ".git").exists() and _git(root, "rev-parse", "--is-shallow-repository") == "false"


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _differences(first: Record, other: Record) -> Iterator[str]:
    """Yield what should be the same in all seeds of one profile and is not."""
    if _fingerprints(first) != _fingerprints(other):
        yield "its data"
    # Where the chapter changed between two seeds, the older one is stale.
    if first.code.get("chapter") == other.code.get("chapter"):
        if [claim.text for claim in first.claims] != [claim.text for claim in other.claims]:
            yield "its claims"
        if [number.name for number in first.numbers] != [number.name for number in other.numbers]:
            yield "its numbers"


def _fingerprints(record: Record) -> list[tuple[Any, Any]]:
    return [(part.get("name"), part.get("fingerprint")) for part in record.data]


def _check_shape(record: Record) -> None:
    """Raise LabkitError where a field of the record does not hold what its annotation says."""
    for name, hint in get_type_hints(Record).items():
        if not _is(getattr(record, name), hint):
            raise LabkitError(f"is not a record: its {name} cannot be read")
    for name, keys in NEEDED.items():
        value = getattr(record, name)
        for part in value if isinstance(value, list) else [value]:
            if missing := [key for key in keys if key not in part]:
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

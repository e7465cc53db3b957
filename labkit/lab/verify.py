"""Looking over the records in `results/`: whole, consistent, and made by the code as it is now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from labkit.chapters.chapter import Chapter, chapters
from labkit.errors import LabkitError
from labkit.lab.declared import evidence_of
from labkit.lab.faults import pictures_faults, record_faults, whole_record
from labkit.lab.provenance import reach
from labkit.lab.record import LARGEST_PICTURES, Record
from labkit.lab.rehearsal import FILE as REHEARSAL
from labkit.lab.rehearsal import not_yet_run, rehearsal_faults
from labkit.lab.replay import FILE as REPLAY
from labkit.lab.replay import code_digest, read_replay
from labkit.lab.standing import CodeState, code_state
from labkit.profile import PROFILES, checked_profile
from labkit.source.reached import EXPERIMENT, same_code

RECORD = re.compile(r"seed-(0|[1-9]\d*)\.json")


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


def refused(path: Path, chapter: Chapter, defaults: Mapping[str, Any]) -> bool:
    """Return whether there is a fault in the record of `chapter` at `path`, or in one of its pictures."""
    found = Verification()
    _Chapter(chapter, found, defaults).profile(path.parent)
    name = path.relative_to(chapter.root).with_suffix("").as_posix()
    return any(fault.startswith((f"{name}.json: ", f"{name}-")) for fault in found.faults)


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
                self.profile(self.folder / profile)
        size = sum(path.stat().st_size for path in self.folder.rglob("*.png"))
        if size > LARGEST_PICTURES:
            self._fault(self.folder, f"has pictures of {size} bytes, more than {LARGEST_PICTURES}")

    def _fault(self, path: Path, what: str) -> None:
        self.found.faults.append(f"{path.relative_to(self.chapter.root)}: {what}")

    def profile(self, folder: Path) -> None:
        """Add what is found in the `folder` of one profile."""
        before, made, files = len(self.found.faults), [], sorted(folder.iterdir())
        named: set[str] = set()
        for path in files:
            if RECORD.fullmatch(path.name):
                if record := self._record(path):
                    made.append(record)
                    named |= {record.picture(table)[0] for table in record.sheets}
                else:  # which pictures it names cannot be known
                    named |= {picture.name for picture in folder.glob(f"{path.stem}-*.png")}
        for path in files:
            if path.name == REPLAY:
                self._replay(path, made)
            elif path.name == REHEARSAL:
                for what in rehearsal_faults(self.chapter, checked_profile(folder.name)):
                    self._fault(path, what)
            elif not RECORD.fullmatch(path.name) and path.name not in named:
                self._fault(path, "is neither a record nor a picture that a record names")
        made.sort(key=lambda record: record.seed)
        for first, record in combinations(made, 2):
            for what in _differences(first, record):
                self._fault(folder / f"seed-{record.seed}.json", f"{what} of seed {first.seed}")
        for path, missing in self._claims(folder, made):
            self._fault(path, missing)
        damaged = len(self.found.faults) > before
        if made or damaged or not (folder / REHEARSAL).is_file():
            self._sum_up(folder.name, made, damaged=damaged)
        else:
            sentence = not_yet_run(self.chapter, checked_profile(folder.name))
            self.found.summary.append(f"{self.chapter.number} {sentence}")

    def _claims(self, folder: Path, made: Sequence[Record]) -> Iterator[tuple[Path, str]]:
        """Yield what the chapter claims or quotes and a record, made by the code of now, has no rows for.

        Every effect is computed anew from the rows: a record holds none.
        """
        try:
            evidence = evidence_of(self.chapter)
        except LabkitError as error:
            yield self.chapter.source, str(error)
            return
        for record in made:
            if EXPERIMENT not in reach(self.chapter, record.profile).causes(record.code):
                for missing in evidence.missing(record):
                    yield folder / f"seed-{record.seed}.json", f"cannot be judged: {missing}"

    def _replay(self, path: Path, made: Sequence[Record]) -> None:
        try:
            replay = read_replay(path.parent)
        except LabkitError as error:
            self._fault(path, str(error).removeprefix(f"{path} "))
        else:
            known = {code_digest(record.code): record.commit.get("sha") for record in made}
            if replay and not replay.commits.items() <= known.items():
                self._fault(path, "is of other records than those beside it")

    def _sum_up(self, profile: str, made: Sequence[Record], *, damaged: bool) -> None:
        name = f"{self.chapter.number} {profile}"
        try:
            code = code_state(made, self.chapter)
        except LabkitError:  # the replay is damaged, which was told
            code = CodeState()
        if code.word == "stale":
            self.found.stale.append(name)
        changed = f"{code.word}: {', '.join(code.changed)} changed"
        state = [changed] if code.changed else [] if damaged else ["fresh"]
        state += ["damaged, see above"] * damaged
        seeds = ", ".join(str(record.seed) for record in made) or "none"
        self.found.summary.append(f"{name}: seeds {seeds}; {'; '.join(state)}")

    def _record(self, path: Path) -> Record | None:
        """Return the record in `path`, or None where it cannot be read; its faults are added."""
        try:
            record = whole_record(path)
        except LabkitError as error:
            self._fault(path, str(error))
            return None
        for what in record_faults(path, record, self.chapter, self.defaults):
            self._fault(path, what)
        for picture, what in pictures_faults(path, record):
            self._fault(picture, what)
        return record


def _differences(first: Record, other: Record) -> Iterator[str]:
    """Yield what should be the same in all seeds of one profile and is not, or the other way round."""
    if _fingerprints(first) != _fingerprints(other):
        yield "its data are not those"
    if first.rows == other.rows:
        yield "its rows are those"
    # Where the code changed between two seeds, the older one is stale.
    if same_code(first.code, other.code):
        parts = {
            "claims": [record.claims for record in (first, other)],
            "tables": [list(record.rows) for record in (first, other)],
            "pictures": [list(record.sheets) for record in (first, other)],
        }
        yield from (f"its {part} are not those" for part, (one, two) in parts.items() if one != two)


def _fingerprints(record: Record) -> list[tuple[Any, Any]]:
    return [(part.get("name"), part.get("fingerprint")) for part in [*record.data, *record.weights]]

"""How the book stands: what the records of each chapter and profile say, and whether they still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.lab.chapter import Chapter, chapters
from labkit.lab.claims import Judgement, judge
from labkit.lab.provenance import reach
from labkit.lab.record import Record, records
from labkit.profile import PROFILES, Profile
from labkit.source.reached import same_code


@dataclass(frozen=True)
class Standing:
    """The records of one chapter and profile, and the names of the code that changed since they were made."""

    chapter: Chapter
    profile: Profile
    records: Sequence[Record]
    stale: Sequence[str]

    @property
    def state(self) -> str:
        """What became of the code since the runs were recorded, in words."""
        return f"stale, changed since: {', '.join(self.stale)}" if self.stale else "unchanged since"

    def judgements(self) -> list[Judgement]:
        """Return what the records say of each claim made in any of them."""
        texts = dict.fromkeys(claim.text for record in self.records for claim in record.claims)
        made = [claim for record in self.records for claim in record.claims]
        return [judge([claim for claim in made if claim.text == text]) for text in texts]


def standings(root: Path) -> list[Standing]:
    """Return how each chapter of the book at `root` stands at each profile that has records.

    In the order of the book, the largest profile first; `smoke` excepted: it shows that cells run. Raises
    LabkitError where a record is damaged.
    """
    found = []
    for chapter in chapters(root):
        for profile in reversed(PROFILES[1:]):
            if made := records(chapter, root / "results", profile):
                found.append(Standing(chapter, profile, made, changed_code(made, chapter)))
    return found


def changed_code(made: Sequence[Record], chapter: Chapter) -> list[str]:
    """Return the names of the definitions that changed since any of these records was made.

    The records are of `chapter` and of one profile.
    """
    if not made:
        return []
    now = reach(chapter, made[0].profile)
    return sorted(
        {
            name
            for record in made
            if not same_code(record.code, now.hashes())
            for name in now.causes(record.code)
        }
    )

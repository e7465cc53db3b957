"""How the book stands: what the records of each chapter and profile say, and whether they still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from labkit.chapters.chapter import Chapter, chapters
from labkit.lab.declared import evidence_of
from labkit.lab.evidence import Judgement
from labkit.lab.provenance import reach
from labkit.lab.record import Record, records
from labkit.lab.replay import Replay, read_replay
from labkit.profile import PROFILES, Profile
from labkit.source.reached import same_code


@dataclass(frozen=True)
class CodeState:
    """What became of the code of recorded runs: `changed` names its definitions that are others now.

    Where they are and a replay vouches for all of the runs, that is `replay`.
    """

    changed: Sequence[str] = ()
    replay: Replay | None = None

    @property
    def word(self) -> Literal["fresh", "replayed", "stale"]:
        """The state in a word."""
        return "fresh" if not self.changed else "replayed" if self.replay else "stale"

    @property
    def sentence(self) -> str:
        """The state in words that go on after "Code: "."""
        if self.changed and self.replay:
            return self.replay.sentence()
        return f"stale, changed since: {', '.join(self.changed)}" if self.changed else "unchanged since"


@dataclass(frozen=True)
class Standing:
    """The records of one chapter and profile, and what became of their code."""

    chapter: Chapter
    profile: Profile
    records: Sequence[Record]
    code: CodeState

    @cached_property  # tables ask many times
    def judgements(self) -> list[Judgement]:
        """What the records say of each claim of the chapter, controls included.

        Raises LabkitError where the claims cell of the chapter fails.
        """
        return list(evidence_of(self.chapter).judge(self.records).values())


def standings(root: Path) -> list[Standing]:
    """Return how each chapter of the book at `root` stands at each profile that has records.

    In the order of the book, the largest profile first; `smoke` excepted: it shows that cells run. Raises
    LabkitError where a record is damaged.
    """
    found = []
    for chapter in chapters(root):
        for profile in reversed(PROFILES[1:]):
            if made := records(chapter, root / "results", profile):
                found.append(Standing(chapter, profile, made, code_state(made, chapter)))
    return found


def code_state(made: Sequence[Record], chapter: Chapter) -> CodeState:
    """Return what became of the code of these records of `chapter`, all of one profile, since they were made.

    Raises LabkitError where the replay beside them is damaged.
    """
    if not made:
        return CodeState()
    now = reach(chapter, made[0].profile)
    others = [record for record in made if not same_code(record.code, now.hashes())]
    changed = {name for record in others for name in now.causes(record.code)}
    replay = read_replay(chapter.root / "results" / chapter.slug / made[0].profile)
    vouched = replay and all(replay.vouches_for(record, now.hashes()) for record in others)
    return CodeState(sorted(changed), replay if vouched else None)

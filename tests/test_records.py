"""What is published holds together: every record passes `labkit verify`, every chapter keeps the contract."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from labkit.chapters.chapter import Chapter, chapters
from labkit.chapters.parameters import parameters_of
from labkit.lab.declared import evidence_of
from labkit.lab.evidence import MOST_PRIMARY
from labkit.lab.verify import verify
from labkit.source.files import PACKAGE

BOOK = PACKAGE.parent
ORDER = (
    "What you will be able to do",
    "What we will show",
    "The idea",
    "Play",
    "Results",
    "What surprised us, what failed",
    "Read next",
    "Exercises",
)
every_chapter = pytest.mark.parametrize("chapter", chapters(BOOK), ids=lambda chapter: chapter.number)


def headings(text: str) -> list[str]:
    """Return the headings of the second level, in their order, code left aside."""
    parts = text.split("\n```")[::2]
    return [line[3:].strip() for part in parts for line in part.splitlines() if line.startswith("## ")]


def follows_the_order(found: Sequence[str]) -> bool:
    return [heading for heading in found if heading in ORDER] == list(ORDER) and found[0] == ORDER[0]


@every_chapter
def test_a_chapter_names_its_claims_before_it_runs(chapter: Chapter) -> None:
    cells = [set(cell.metadata.get("tags", [])) for cell in chapter.read().cells if cell.cell_type == "code"]
    before = [tags & {"bootstrap", "parameters", "claims", "in-short"} for tags in cells]
    before = [tags for tags in before if tags != {"bootstrap"}]
    assert before[:4] == [{"parameters"}, set(), {"claims"}, {"in-short"}]
    assert before[4:].count(set()) == len(before[4:])
    assert 1 <= sum(claim.primary for claim in evidence_of(chapter).claims) <= MOST_PRIMARY


def test_no_record_is_damaged_or_contradicts_another() -> None:
    found = verify(BOOK, chapters(BOOK), lambda chapter: parameters_of(chapter.read(), chapter.slug))
    assert found.faults == []


@every_chapter
def test_a_chapter_keeps_the_order(chapter: Chapter) -> None:
    found = headings(chapter.source.read_text(encoding="utf-8"))
    assert follows_the_order(found), found


@pytest.mark.parametrize("found", [ORDER[1:], (*ORDER, "Results"), ORDER[::-1], ("Part 1", *ORDER)])
def test_another_order_is_noticed(found: Sequence[str]) -> None:
    assert follows_the_order([ORDER[0], "Part 1", *ORDER[1:]])
    assert not follows_the_order(found)

"""What stands where: the answer of a chapter on its first screen, cards, folds, addresses, the search."""

from __future__ import annotations

import pytest

from labkit.chapters.chapter import Chapter, chapters
from labkit.lab.record import best_records
from labkit.source.files import PACKAGE

from .browser import PHONE, Browser

ROOT = PACKAGE.parent
WIDE = (1300, 900)
BOX = "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return [box.top, box.bottom]"
# Cards beside each other have the same top.
TOPS = """return [...document.querySelectorAll('.lk-card')].map(
    card => Math.round(card.getBoundingClientRect().top))"""
GROUND = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"


@pytest.fixture(scope="module")
def recorded() -> list[Chapter]:
    """The chapters that have a record, and so a figure on top."""
    found = [chapter for chapter in chapters(ROOT) if best_records(chapter, ROOT / "results")]
    assert found
    return found


def test_answer_and_figure_are_on_the_first_screen(browser: Browser, recorded: list[Chapter]) -> None:
    faults = []
    for chapter in recorded:
        browser.open(f"{chapter.page}.html", WIDE)
        if (below := browser.ask(BOX, ".tag_in-short svg[role=img]")[1]) > WIDE[1]:
            faults.append(f"{chapter.number}: its figure ends at {below:.0f} pixels")
        browser.open(f"{chapter.page}.html", PHONE)
        if (below := browser.ask(BOX, ".tag_in-short .lk-answer")[1]) > PHONE[1]:
            faults.append(f"{chapter.number}: on a phone its answer ends at {below:.0f} pixels")
        if (top := browser.ask(BOX, ".tag_in-short svg[role=img]")[0]) > 1.5 * PHONE[1]:
            faults.append(f"{chapter.number}: on a phone its figure begins at {top:.0f} pixels")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("chapter", chapters(ROOT), ids=lambda chapter: chapter.number)
def test_what_is_folded_is_thin_and_solutions_say_nothing_outside_their_fold(
    browser: Browser, chapter: Chapter
) -> None:
    browser.open(f"{chapter.page}.html", WIDE)
    heights = browser.ask(
        "return [...document.querySelectorAll('details.hide')].map(x => x.getBoundingClientRect().height)"
    )
    assert heights
    assert max(heights) < 30
    seen = browser.ask("return [...document.querySelectorAll('.tag_exercise')].map(x => x.innerText.trim())")
    assert set(seen) == {"Show the solution"}


def test_a_figure_has_an_address_and_is_seen_when_it_is_asked_for(
    browser: Browser, recorded: list[Chapter]
) -> None:
    browser.open(f"{recorded[0].page}.html#figure-2", WIDE)
    top, _ = browser.ask(BOX, "#figure-2")
    assert 0 <= top < WIDE[1] / 2
    assert browser.ask(GROUND, "#figure-1") != browser.ask(GROUND, "#figure-2")


def test_cards_stand_side_by_side_where_there_is_room(browser: Browser) -> None:
    browser.open("book/intro.html", WIDE)
    tops = browser.ask(TOPS)
    assert len(tops) == len(chapters(ROOT))
    assert len(set(tops)) == (len(tops) + 1) // 2
    browser.open("book/intro.html", PHONE)
    assert len(set(browser.ask(TOPS))) == len(tops)


def test_a_wide_table_is_read_row_by_row_on_a_phone(browser: Browser) -> None:
    told = """const cell = document.querySelector('table.lk-wide td:nth-child(2)');
    const label = getComputedStyle(cell, '::before').content;
    return [label, cell.dataset.label, cell.closest('table').scrollWidth]"""
    browser.open("book/pretrained.html", WIDE)
    assert browser.ask(told)[:2] == ["none", "Measured"]
    browser.open("book/pretrained.html", PHONE)
    label, _, width = browser.ask(told)
    assert label != "none"
    assert width <= PHONE[0]


@pytest.mark.parametrize("chapter", chapters(ROOT), ids=lambda chapter: chapter.number)
def test_the_search_stays_in_sight_whatever_page_is_open(browser: Browser, chapter: Chapter) -> None:
    browser.open(f"{chapter.page}.html", WIDE)
    browser.ask("document.querySelector('#pst-primary-sidebar').scrollTop = 1e6")
    browser.settle()
    top, bottom = browser.ask(BOX, "#pst-primary-sidebar .search-button-field")
    assert 0 <= top < bottom <= WIDE[1]

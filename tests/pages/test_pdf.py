"""The book as one PDF: whole, with bookmarks, for reading on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdf
import pytest

from labkit.chapters.chapter import chapters, toc_pages
from labkit.errors import LabkitError
from labkit.lab.record import best_records
from labkit.site.pdf import find_browser, print_book
from labkit.source.files import PACKAGE

ROOT = PACKAGE.parent
A4 = pytest.approx((595.3, 841.9), abs=1)


@pytest.fixture(scope="module")
def book(site: Path) -> pypdf.PdfReader:
    print_book(ROOT, find_browser())
    return pypdf.PdfReader(ROOT / "_build" / "the-lab-book.pdf")


def titles(marks: list[Any]) -> Iterator[str]:
    for mark in marks:
        if isinstance(mark, list):
            yield from titles(mark)
        else:
            yield mark.title


def plain(text: str) -> str:
    """Leave out what a browser may draw in another way: spaces and the marks of Markdown."""
    return re.sub(r"[\W_]", "", text)


def test_every_page_of_the_book_is_printed_and_has_a_bookmark(book: pypdf.PdfReader) -> None:
    marks = {plain(title) for title in titles(book.outline)}
    names = toc_pages(ROOT)
    for name in names:
        source = (ROOT / f"{name}.md").read_text(encoding="utf-8")
        [title] = re.findall(r"^# (.+)$", re.sub(r"```.*?```", "", source, flags=re.DOTALL), re.MULTILINE)
        # Chromium writes a heading twice into its bookmark where a page break moves it.
        assert marks & {plain(title), 2 * plain(title)}, title
    assert len(book.pages) > 10 * len(chapters(ROOT))
    assert (book.pages[0].mediabox.width, book.pages[0].mediabox.height) == A4


def test_paper_shows_recorded_runs_alone_and_no_solution(book: pypdf.PdfReader) -> None:
    text = " ".join("".join(page.extract_text() for page in book.pages).split())
    recorded = [chapter for chapter in chapters(ROOT) if best_records(chapter, ROOT / "results")]
    assert text.count("Recorded: ") >= 5 * len(recorded)
    assert ("this run: smoke" in text.lower()) == (len(recorded) < len(chapters(ROOT)))
    assert "Exercises" in text
    for gone in ("Show the solution", "Show code", "# solution", "Right.", "Rows as CSV"):
        assert gone not in text

    assert "Traceback" not in text


def test_a_machine_without_a_browser_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabkitError, match=r"chromium, .*google-chrome.* is installed"):
        find_browser()


def test_a_print_that_fails_leaves_the_older_one(book: pypdf.PdfReader, tmp_path: Path) -> None:
    browser = tmp_path / "broken"
    browser.write_text("#!/bin/sh\necho 'no screen' >&2\nexit 3\n")
    browser.chmod(0o755)
    target = ROOT / "_build" / "the-lab-book.pdf"
    before = target.read_bytes()
    with pytest.raises(LabkitError, match=r"printed nothing \(exit code 3\): no screen"):
        print_book(ROOT, str(browser))
    assert target.read_bytes() == before
    assert list(target.parent.glob("tmp*")) == []

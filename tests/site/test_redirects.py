"""Pages that have moved: the old address leads on, and a line that leads nowhere stops the build."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plain_sphinx import build, write_pages

from labkit.chapters.chapter import toc_pages
from labkit.errors import LabkitError
from labkit.site.checks.html import read_page
from labkit.site.redirects import FILE, read_redirects, wrong_redirects
from labkit.source.files import PACKAGE

BOOK = PACKAGE.parent


@pytest.fixture
def book(tmp_path: Path) -> Path:
    write_pages(tmp_path, {"intro": "# A book", "data/new": "# Fish & <chips>", "other": "# Other"})
    return tmp_path


def test_the_redirects_of_the_book_lead_to_its_pages() -> None:
    assert list(wrong_redirects(read_redirects(BOOK), toc_pages(BOOK))) == []


def test_an_old_address_leads_on(book: Path) -> None:
    (book / FILE).write_text("book/old: book/data/new\nbook/a/b: book/data/new\n")
    code, _, errors = build(book)
    assert code == 0, errors
    for old, link in (("old", "data/new.html"), ("a/b", "../data/new.html")):
        path = book / f"_build/html/book/{old}.html"
        text = path.read_text()
        assert f'<meta http-equiv="refresh" content="0; url={link}">' in text
        assert f'<link rel="canonical" href="{link}">' in text
        assert f'<a href="{link}">Fish &amp; &lt;chips&gt;</a>' in text
        assert (path.parent / link).is_file()
        page = read_page(path)
        assert [where for where in page.links if where != page.icon] == [link] * 3
        assert (path.parent / page.icon).resolve(strict=True) == book / "_build/html/_static/mark.svg"
    # The start page leads on as well: to the first of the book.
    start = book / "_build/html/index.html"
    assert read_page(start).icon == "_static/mark.svg"
    assert read_page(start).links.count("book/intro.html") == 3
    assert "A book</a>" in start.read_text()
    # A new line is seen although no page has changed.
    (book / FILE).write_text("book/older: book/other\n")
    assert build(book)[0] == 0
    assert 'href="other.html"' in (book / "_build/html/book/older.html").read_text()


WRONG = {
    "living": ("book/other: book/intro", "book/other is a page of the book and cannot lead on to book/intro"),
    "dead end": ("book/old: book/gone", "book/old leads to book/gone, which is no page of the book"),
    "chain": ("book/a: book/other\nbook/b: book/a", "book/b leads to book/a, which is no page of the book"),
    "outside": ("index: book/intro", "'index' names no page; a page is called book/name, without .md"),
    "upwards": ("book/../x: book/intro", "'book/../x' names no page; a page is called"),
    "suffix": ("book/old.md: book/intro", "'book/old.md' names no page; a page is called"),
    "list": ("- book/old", " needs lines `old page: new page`, with pages as in _toc.yml"),
    "no target": ("book/old:", " needs lines `old page: new page`, with pages as in _toc.yml"),
    "no yaml": ("book/old: [", " is not YAML: "),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_line_is_named(book: Path, fault: str) -> None:
    text, finding = WRONG[fault]
    (book / FILE).write_text(text)
    pages = ["book/intro", "book/data/new", "book/other"]
    try:
        [found] = wrong_redirects(read_redirects(book), pages)
    except LabkitError as error:
        found = str(error)
    assert found.startswith(FILE)
    assert finding in found
    assert "\n" not in found


@pytest.mark.parametrize("fault", ["living", "no yaml"])
def test_a_wrong_line_stops_the_build(book: Path, fault: str) -> None:
    assert build(book)[0] == 0
    text, finding = WRONG[fault]
    (book / FILE).write_text(text)
    code, _, errors = build(book)
    assert code != 0
    assert re.search(rf"^Wrong redirect:\n{re.escape(FILE)}.*{re.escape(finding)}", errors, re.MULTILINE), (
        errors
    )

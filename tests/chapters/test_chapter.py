"""The table of contents: its pages and chapters, at any depth."""

from __future__ import annotations

from pathlib import Path

import pytest
from trial import HEADER

from labkit.chapters.chapter import chapters, find_chapter, toc_pages
from labkit.errors import LabkitError

TOC = """
root: book/intro
parts:
- caption: One
  chapters:
  - file: book/data
    sections:
    - file: book/data/shapes
  - file: book/p01-first
    sections:
    - file: book/p02-second
- caption: Two
  chapters:
  - file: book/p03-third
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "book/data").mkdir(parents=True)
    for page in ("intro", "data", "data/shapes"):
        (tmp_path / f"book/{page}.md").write_text("# A page\n")
    for page in ("p01-first", "p02-second", "p03-third"):
        (tmp_path / f"book/{page}.md").write_text(f"{HEADER}# A chapter\n")
    return tmp_path


def test_pages_are_found_at_any_depth(book: Path) -> None:
    names = ["intro", "data", "data/shapes", "p01-first", "p02-second", "p03-third"]
    assert toc_pages(book) == [f"book/{name}" for name in names]


def test_chapters_are_found_at_any_depth(book: Path) -> None:
    assert [chapter.number for chapter in chapters(book)] == ["p01", "p02", "p03"]
    assert all(chapter.source.is_file() for chapter in chapters(book))


def test_a_chapter_lies_in_the_book_or_in_a_part_of_it(book: Path) -> None:
    (book / "book/data/shapes.md").write_text(f"{HEADER}# A chapter\n")
    chapter = find_chapter("shapes", book)
    assert (chapter.part, chapter.page) == ("data", "book/data/shapes")
    assert chapter.source == book / "book/data/shapes.md"
    assert chapter.notebook == book / "notebooks/shapes.ipynb"
    deep = book / "book/data/deep/shapes.md"
    deep.parent.mkdir()
    (book / "book/data/shapes.md").rename(deep)
    toc = book / "_toc.yml"
    toc.write_text(toc.read_text().replace("book/data/shapes", "book/data/deep/shapes"))
    with pytest.raises(LabkitError, match="book/data/deep/shapes has a kernel"):
        chapters(book)


BAD_TOCS = {
    "empty": b"",
    "not YAML": b"chapters: [",
    "a list": b"- file: book/intro\n",
    "a text": b"book/intro",
    "no root": b"chapters:\n- file: book/p01-first\n",
    "a number": b"root: book/intro\nchapters:\n- file: 3\n",
    "not UTF-8": b"root: book/intr\xff\n",
    "no date": b"root: book/intro\nchapters:\n- file: 2001-99-99\n",
    "a circle": b"root: book/intro\nchapters: &a\n- sections: *a\n",
    "a long name": b"root: book/intro\nchapters:\n- file: " + b"a" * 300,
}


@pytest.mark.parametrize("name", BAD_TOCS)
def test_a_table_of_contents_that_cannot_be_read_is_one_line(book: Path, name: str) -> None:
    (book / "_toc.yml").write_bytes(BAD_TOCS[name])
    with pytest.raises(LabkitError, match=r"^cannot read .*: ") as caught:
        chapters(book)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_page_that_is_not_utf_8_is_one_line(book: Path) -> None:
    path = book / "book/p02-second.md"
    chapter = chapters(book)[1]
    path.write_bytes(path.read_bytes() + b"caf\xe9\n")
    for read in (lambda: chapters(book), chapter.read, chapter.title):
        with pytest.raises(LabkitError, match=r"^cannot read .*p02-second\.md: 'utf-8' codec can't decode"):
            read()

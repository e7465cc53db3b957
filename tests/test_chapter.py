"""The table of contents: its pages and chapters, at any depth."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import HEADER

from labkit.chapters.chapter import chapters, toc_pages
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


def test_a_chapter_in_another_folder_is_refused(book: Path) -> None:
    (book / "book/data/shapes.md").write_text(f"{HEADER}# A chapter\n")
    with pytest.raises(LabkitError, match=r"^_toc.yml: book/data/shapes has a kernel; .* in book/ itself$"):
        chapters(book)

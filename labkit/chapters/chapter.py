"""The chapters of the book: where their source and notebook are, and the code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jupytext
import yaml

from labkit.errors import LabkitError, one_line
from labkit.paths import book_root


@dataclass(frozen=True)
class Chapter:
    """One chapter: its page `book/<part>/<slug>.md` is its source, `notebooks/<slug>.ipynb` made from it.

    Notebooks and records lie flat, so that links and evidence stay where a chapter changes its part.
    """

    slug: str
    root: Path
    part: str = ""  # its folder in book/, empty for a page in book/ itself

    @property
    def page(self) -> str:
        """The page, as `_toc.yml` names it."""
        return "/".join(filter(None, ("book", self.part, self.slug)))

    @property
    def source(self) -> Path:
        """The MyST Markdown file."""
        return self.root / f"{self.page}.md"

    @property
    def notebook(self) -> Path:
        """The paired notebook."""
        return self.root / "notebooks" / f"{self.slug}.ipynb"

    @property
    def number(self) -> str:
        """Short name, such as ``p22``."""
        return self.slug.split("-")[0]

    def read(self) -> Any:
        """Return the source as an `nbformat.NotebookNode`; raises LabkitError where it is not MyST."""
        with _reading(self.source):
            return deepcopy(_notebook(self.source.read_text(encoding="utf-8")))

    def question(self) -> str:
        """Return the question that the chapter asks: `question` in its front matter, empty without one."""
        with _reading(self.source):
            front = self.source.read_text(encoding="utf-8").split("---\n")[1]
            return str(yaml.safe_load(front).get("question", ""))

    def title(self) -> str:
        """Return the first heading of the source."""
        with _reading(self.source):
            text = self.source.read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.startswith("# "):
                return line[2:].strip()
        raise LabkitError(f"{self.source} has no title: it needs a line that starts with '# '")


@lru_cache(maxsize=128)  # one command asks many times
def _notebook(text: str) -> Any:
    return jupytext.reads(text, fmt="md:myst")


def toc_pages(root: Path) -> list[str]:
    """Return the pages that `_toc.yml` names, such as ``book/intro``, at any depth and in their order.

    Raises LabkitError where it is not YAML, or not a table of contents.
    """

    def files(entry: Any) -> Iterator[Any]:
        if isinstance(entry, dict):
            yield from (entry[key] for key in ("root", "file") if key in entry)
        for value in entry.values() if isinstance(entry, dict) else entry:
            if isinstance(value, dict | list):
                yield from files(value)

    path = root / "_toc.yml"
    with _reading(path):
        toc = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(toc, dict) or "root" not in toc:
            raise ValueError("a table of contents begins with format: jb-book and root: PAGE")
        pages = list(files(toc))
        for page in pages:
            if not isinstance(page, str):
                raise ValueError(f"a page is named by its path without .md, not by {page!r}")
    return pages


def chapters(root: Path | None = None) -> list[Chapter]:
    """Return all executable chapters in the order of `_toc.yml` (its pages whose source names a kernel).

    Raises LabkitError for a page with a kernel that is neither in `book/` nor in a folder of it, and for one
    that cannot be read.
    """
    root = root or book_root()
    found = []
    for page in toc_pages(root):
        path = root / f"{page}.md"
        with _reading(path):
            has_kernel = path.is_file() and "\nkernelspec:" in path.read_text(encoding="utf-8")[:2000]
        if has_kernel:
            where = re.fullmatch(r"book/(?:([\w-]+)/)?[\w-]+", page)
            if not where:
                raise LabkitError(f"_toc.yml: {page} has a kernel; a chapter is book/NAME or book/PART/NAME")
            found.append(Chapter(path.stem, root, where[1] or ""))
    return found


def find_chapter(name: str, root: Path | None = None) -> Chapter:
    """Return the chapter called `name`, a slug or number (``p22``); raises LabkitError naming all."""
    there = chapters(root)
    for chapter in there:
        if name in (chapter.slug, chapter.number):
            return chapter
    names = ", ".join(chapter.slug for chapter in there) or "none"
    raise LabkitError(f"unknown chapter {name!r}; the book has: {names}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise LabkitError, which names the file, in place of whatever reading and parsing it raise."""
    try:
        yield
    except Exception as error:
        raise LabkitError(one_line(f"cannot read {path}", str(error))) from error

"""The chapters of the book: where their source and notebook are, and the code in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import yaml

from labkit.errors import LabkitError
from labkit.paths import book_root


@dataclass(frozen=True)
class Chapter:
    """One chapter: `book/<slug>.md` is its source, `notebooks/<slug>.ipynb` is made from it."""

    slug: str
    root: Path

    @property
    def source(self) -> Path:
        """The MyST Markdown file."""
        return self.root / "book" / f"{self.slug}.md"

    @property
    def notebook(self) -> Path:
        """The paired notebook."""
        return self.root / "notebooks" / f"{self.slug}.ipynb"

    @property
    def number(self) -> str:
        """Short name, such as ``p22``."""
        return self.slug.split("-")[0]

    def read(self) -> Any:
        """Return the source as a notebook object (`nbformat.NotebookNode`)."""
        return jupytext.read(self.source, fmt="md:myst")

    def title(self) -> str:
        """Return the first heading of the source."""
        for line in self.source.read_text(encoding="utf-8").splitlines():
            if line.startswith("# "):
                return line[2:].strip()
        raise LabkitError(f"{self.source} has no title: it needs a line that starts with '# '")


def chapters(root: Path | None = None) -> list[Chapter]:
    """Return all executable chapters in the order of `_toc.yml` (its pages whose source names a kernel)."""
    root = root or book_root()
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page["file"] for part in toc.get("parts", [toc]) for page in part.get("chapters", [])]
    found = []
    for page in pages:
        path = root / f"{page}.md"
        if path.is_file() and "\nkernelspec:" in path.read_text(encoding="utf-8")[:2000]:
            found.append(Chapter(path.stem, root))
    return found


def find_chapter(name: str, root: Path | None = None) -> Chapter:
    """Return the chapter called `name`, a slug or number (``p22``); raises LabkitError naming all."""
    there = chapters(root)
    for chapter in there:
        if name in (chapter.slug, chapter.number):
            return chapter
    names = ", ".join(chapter.slug for chapter in there) or "none"
    raise LabkitError(f"unknown chapter {name!r}; the book has: {names}")

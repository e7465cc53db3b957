"""What tells that a chapter must be executed again, and a page made from the records made again."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import yaml
from sphinx.application import Sphinx

from labkit.chapters.chapter import Chapter, chapters
from labkit.source.files import PACKAGE
from labkit.source.meaning import digest
from labkit.source.modules import modules_used

KEY = "labkit_records"


def chapter_key(chapter: Chapter) -> str:
    """Return the digest of what a chapter's outputs depend on, beside its own cells.

    That is the text of every labkit module it uses, its recorded runs, and the pinned packages.
    """
    return digest(_dependencies(chapter))


def _dependencies(chapter: Chapter) -> Iterator[str]:
    cells = [cell.source for cell in chapter.read().cells if cell.cell_type == "code"]
    try:
        modules = list(modules_used(filter(_is_python, cells)).values())
    except SyntaxError:
        # A module that cannot be read: executing the chapter will show which and where.
        modules = sorted(PACKAGE.rglob("*.py"))
    for path in modules:
        yield f"{path.relative_to(PACKAGE)}\n{path.read_text(encoding='utf-8')}"
    records = chapter.root / "results" / chapter.slug
    for path in sorted(records.rglob("*")):
        if path.is_file():
            yield f"{path.relative_to(records)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    yield (chapter.root / "requirements.txt").read_text(encoding="utf-8")


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def keyed(chapter: Chapter, text: str) -> str:
    """Return the chapter's `text` with its key in the kernelspec; pages without a kernel as they are."""
    opening, _, rest = text.partition("\n")
    front, closing, body = rest.partition("\n---\n")
    if opening.rstrip() != "---" or not closing:
        return text
    fields = yaml.safe_load(front)
    if "kernelspec" not in fields:
        return text
    fields["kernelspec"]["labkit"] = chapter_key(chapter)
    # JSON is YAML on one line; blank lines keep the line numbers of what follows.
    return "---\n" + json.dumps(fields, default=str) + "\n" * front.count("\n") + closing + body


@lru_cache(maxsize=1)  # a build has one application, and many pages that ask
def records_key(app: Sphinx) -> str:
    """Return the digest of what the tables depend on: all records, and the code that they may be stale to.

    That code is taken whole, chapters and the modules they use: to hash what each experiment reaches of it
    takes longer than to make the tables once more.
    """
    there = chapters(Path(app.srcdir))
    return digest(
        f"{chapter.source.read_text(encoding='utf-8')}\n{chapter_key(chapter)}" for chapter in there
    )

"""The way back: a chapter's source, rewritten from its notebook as somebody edited it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import jupytext

from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import is_exercise, matched, notebook_from, read_notebook
from labkit.errors import LabkitError
from labkit.paths import write_atomically

# What of a new cell's metadata is the book's; the rest is of the program that saved the notebook.
KEPT = ("tags", "mystnb")
ALIKE = 0.5  # a cell that shares less of its text with one of the source is a new cell


def write_source(chapter: Chapter, path: Path) -> list[int]:
    """Rewrite the chapter's source from the notebook at `path`, all but the front matter and the exercises.

    Exercises stay as they are in the source, with their solutions; returns the numbers of those cells that
    hold something else. Raises LabkitError, and writes nothing, where there is no notebook, it has other
    exercises than the source, or Markdown cannot hold a cell of it.
    """
    notebook = read_notebook(path)
    if notebook is None:
        raise LabkitError(f"{path} is missing or not a notebook")
    left = []
    cells = []
    for number, (cell, made, source) in enumerate(_partners(chapter, notebook.cells, path), 1):
        cells.append(_taken_over(cell, made, source))
        if is_exercise(cell) and cell.source != made.source:
            left.append(number)
    _write(chapter, cells, path)
    return left


def _partners(chapter: Chapter, cells: Sequence[Any], path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Yield each cell that is not empty, the cell it was before it was edited, and that one's source.

    The latter two are None for a new cell.
    """
    sources, made = chapter.read().cells, notebook_from(chapter).cells
    there = [cell for cell in cells if cell.source.strip()]
    gone = [cell for cell in made if is_exercise(cell)]
    for _, start, end, first, last in matched(there, made):
        block = _alike(there[start:end], made[first:last])
        for cell, which in zip(there[start:end], block, strict=True):
            if which is None:
                if is_exercise(cell):
                    raise LabkitError(f"{path} has an exercise that {chapter.source} has not: write it there")
                yield cell, None, None
            else:
                gone = [other for other in gone if other is not made[first + which]]
                yield cell, made[first + which], sources[first + which]
    if gone:
        raise LabkitError(f"{path} lacks an exercise: take it out of {chapter.source}, with its solution")


def _alike(cells: Sequence[Any], made: Sequence[Any]) -> list[int | None]:
    """Return for each of `cells` which of those `made` it was: by its id, else by its text."""
    ids = {cell.id: which for which, cell in enumerate(made)}
    found = [ids.get(cell.id) for cell in cells]
    for number, cell in enumerate(cells):
        if found[number] is None:
            free = [
                which
                for which, other in enumerate(made)
                if which not in found
                and (other.cell_type, is_exercise(other)) == (cell.cell_type, is_exercise(cell))
            ]
            share = {which: _shared(cell.source, made[which].source) for which in free}
            best = max(free, key=lambda which: share[which], default=None)
            found[number] = best if best is not None and share[best] >= ALIKE else None
    return found


def _shared(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _taken_over(cell: Any, made: Any, source: Any) -> Any:
    """Return the source's cell with the text and the tags that it has in the notebook."""
    if made is None:
        new = deepcopy(cell)
        new.metadata = {key: cell.metadata[key] for key in KEPT if key in cell.metadata}
        return new
    taken = deepcopy(source)
    if is_exercise(made):
        return taken
    if cell.source != made.source:
        taken.source = cell.source
    if "attachments" in cell:
        taken.attachments = cell.attachments
    tags = cell.metadata.get("tags", [])
    if tags != made.metadata.get("tags", []):
        taken.metadata = {key: value for key, value in source.metadata.items() if key != "tags"}
        taken.metadata |= {"tags": tags} if tags else {}
    return taken


def _write(chapter: Chapter, cells: list[Any], path: Path) -> None:
    text = chapter.source.read_text(encoding="utf-8")
    _, front_matter, _ = text.split("---\n", 2)
    notebook = chapter.read()
    # The front matter stays as its author wrote it; jupytext must not write one of its own.
    made_by = {"default_lexer": notebook.metadata.get("jupytext", {}).get("default_lexer")}
    notebook.metadata = {"jupytext": made_by | {"notebook_metadata_filter": "-all"}}
    notebook.cells = cells
    text = f"---\n{front_matter}---\n\n" + jupytext.writes(notebook, fmt="md:myst").lstrip("\n")
    back = jupytext.reads(text, fmt="md:myst").cells
    wanted = [_content(cell) for cell in cells]
    for number, (cell, content) in enumerate(zip(back, wanted, strict=False), 1):
        if _content(cell) != content:
            raise LabkitError(f"cell {number} of {path} cannot be written as Markdown without a change")
    if len(back) != len(wanted):
        raise LabkitError(f"the cells of {path} cannot be written as Markdown without a change")
    write_atomically(chapter.source, text.encode())


def _content(cell: Any) -> tuple[Any, ...]:
    """Return what must survive in Markdown; blank lines around a cell and pasted images do not."""
    return cell.cell_type, cell.source.strip(), cell.get("attachments") or {}, cell.metadata.get("tags", [])

"""The way back: a chapter's source, rewritten from its notebook as somebody edited it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import jupytext

from labkit.chapters.bootstrap import address_in, is_bootstrap
from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import Made, is_exercise, made_from, matched, read_notebook
from labkit.chapters.reading import restored
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
    made = made_from(chapter, address_in(notebook) or "")
    there = [(number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.source.strip()]
    partners = _partners([cell for _, cell in there], made)
    lost = [one for one in made if is_exercise(one.cell) and all(one is not partner for partner in partners)]
    if lost:
        raise LabkitError(f"{path} lacks an exercise: take it out of {chapter.source}, with its solution")
    left, cells = [], []
    for (number, cell), partner in zip(there, partners, strict=True):
        if partner is None and is_exercise(cell):
            raise LabkitError(f"{path} has an exercise that {chapter.source} has not: write it there")
        if partner and is_exercise(partner.cell) and cell.source != partner.cell.source:
            left.append(number)
        if (taken := _taken_over(cell, partner)) is not None:
            cells.append(taken)
    _write(chapter, cells, path)
    return left


def _partners(cells: Sequence[Any], made: Sequence[Made]) -> list[Made | None]:
    """Return what each cell was before it was edited, None for a new one."""
    found: list[Made | None] = []
    for _, start, end, first, last in matched(cells, [one.cell for one in made]):
        block = _alike(cells[start:end], [one.cell for one in made[first:last]])
        found += [None if which is None else made[first + which] for which in block]
    return found


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


def _taken_over(cell: Any, partner: Made | None) -> Any:
    """Return the source's cell with the notebook's text and tags; None for a cell of pairing's own."""
    if partner is None:
        new = deepcopy(cell)
        new.metadata = {key: cell.metadata[key] for key in KEPT if key in cell.metadata}
        return new
    made, taken = partner.cell, deepcopy(partner.source)
    if is_exercise(made) or is_bootstrap(made):
        return taken
    if cell.source != made.source:
        taken.source = restored(partner.pieces, cell.source) if partner.pieces else cell.source
    if "attachments" in cell:
        taken.attachments = cell.attachments
    tags = cell.metadata.get("tags", [])
    if tags != made.metadata.get("tags", []):
        taken.metadata = {key: value for key, value in taken.metadata.items() if key != "tags"}
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

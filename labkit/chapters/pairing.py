"""The notebook of a chapter, made from its Markdown: one direction; compares contents, never file times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import ValidationError
from nbformat.reader import NotJSONError

from labkit.chapters import address as published
from labkit.chapters.address import branch, setting
from labkit.chapters.bootstrap import TAG as TAG_BOOTSTRAP
from labkit.chapters.bootstrap import address_in, bootstrap, is_bootstrap
from labkit.chapters.cells import TAG, stub
from labkit.chapters.chapter import Chapter, chapters
from labkit.chapters.kernel import ThisPython, records_go_to
from labkit.chapters.reading import Page, Piece, pieces_of, shown
from labkit.errors import LabkitError, one_line
from labkit.paths import write_atomically
from labkit.source.meaning import digest

# nbval compares the outputs of cells with this tag, and no others; so only these are stored.
COMPARED = "nbval-check-output"

# No pairing by jupytext: in JupyterLab it would put the source's solutions into the notebook, and rewrite it.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


# Bookkeeping and drawing: folded in JupyterLab, and in Colab.
FOLDED = {TAG_BOOTSTRAP, "claims", "figure", "in-short"}
FOLDED |= {"hide-cell", "hide-input", "remove-cell", "remove-input"}
NEVER_FOLDED = {TAG, "parameters"}
FOLD = {"jupyter": {"source_hidden": True}, "cellView": "form"}


@dataclass(frozen=True)
class Made:
    """A cell of the notebook, the source cell that makes it (None: pairing), and its text in pieces."""

    cell: Any
    source: Any
    pieces: Sequence[Piece]


def made_from(chapter: Chapter, address: str) -> list[Made]:
    """Return the cells of the notebook that the chapter's source makes, for a book published at `address`.

    Markdown is rendered for those who read it outside the site. Exercises come without their solutions. In
    front of the first code cell is one that fetches the book. A cell's id comes from its text, so that it
    moves with the cell when others are inserted above it, and tells of an edit. Raises LabkitError where the
    source is not valid MyST.
    """
    page = Page(chapter.root, f"{chapter.page}.md", address, branch(chapter.root))
    found = [_made(source, page, address) for source in chapter.read().cells]
    code = [which for which, made in enumerate(found) if made.cell.cell_type == "code"]
    if code and not any(is_bootstrap(made.cell) for made in found):
        found.insert(code[0], Made(bootstrap(address), None, ()))
    seen: Counter[tuple[str, str]] = Counter()
    for made in found:
        seen[text_of(made.cell)] += 1
        made.cell.id = _id(chapter, made.cell, seen[text_of(made.cell)])
        tags = {*made.cell.metadata.get("tags", [])}
        if made.cell.cell_type == "code" and tags & FOLDED and not tags & NEVER_FOLDED:
            made.cell.metadata |= deepcopy(FOLD)
    return found


def _made(source: Any, page: Page, address: str) -> Made:
    cell, pieces = deepcopy(source), []
    if is_bootstrap(source):
        cell = bootstrap(address)
    elif is_exercise(source):
        cell.source = stub(source.source)
    elif source.cell_type == "markdown":
        pieces = pieces_of(source.source, page)
        cell.source = shown(pieces)
    return Made(cell, source, pieces)


def notebook_from(chapter: Chapter, address: str = "") -> Any:
    """Return the notebook of those cells, without outputs; equal sources, equal notebooks."""
    notebook = chapter.read()
    notebook.metadata = METADATA
    notebook.cells = [made.cell for made in made_from(chapter, address)]
    return notebook


def edited(chapter: Chapter, notebook: Any) -> list[int]:
    """Return the numbers of the cells of `notebook` whose text would be lost if it were made again.

    That is text which pairing never wrote, or the cell's id would come from it, and would not write now.
    """
    made = set(map(text_of, notebook_from(chapter, address_in(notebook) or "").cells))
    return [
        number
        for number, cell in enumerate(notebook.cells, 1)
        if cell.source.strip()
        and text_of(cell) not in made
        and all(cell.id != _id(chapter, cell, count) for count in range(1, len(notebook.cells) + 1))
    ]


def pair(chapter: Chapter, *, force: bool = False) -> bool:
    """Write the chapter's notebook where it is not up to date; returns whether it was written.

    Compared cells keep their stored output while their text is unchanged; where one has none, the notebook
    is executed with the defaults of its parameters. Raises LabkitError where a cell of it fails, and, unless
    by `force`, where the notebook holds edits, which would be lost.
    """
    stored = read_notebook(chapter.notebook)
    notebook = notebook_from(chapter, _address(chapter, stored) or published.address(chapter.root))
    if stored and not _differences(stored, notebook):
        return False
    if stored and not force and (numbers := edited(chapter, stored)):
        raise LabkitError(
            f"notebooks/{chapter.slug}.ipynb is edited ({cells_called(numbers)}): "
            f"`labkit pair --from-notebook {chapter.slug}` takes all but exercises into {chapter.page}.md, "
            f"`labkit pair --force {chapter.slug}` throws the edits away"
        )
    _carry_over(stored, notebook)
    if not all(_has_output(cell) for cell in _compared(notebook)):
        _carry_over(_executed(chapter, notebook), notebook)
    write_notebook(chapter.notebook, notebook)
    return True


def differences(chapter: Chapter) -> list[str]:
    """Return a line for each way in which the notebook on disk is not what the source makes.

    Outputs are no difference, those of compared cells excepted, nor is what JupyterLab adds to metadata.
    """
    name = f"notebooks/{chapter.notebook.name}"
    stored = read_notebook(chapter.notebook)
    if stored is None:
        return [f"{name}: missing or not a notebook"]
    notebook = notebook_from(chapter, _address(chapter, stored))
    return [f"{name}: {line}" for line in _differences(stored, notebook)]


def _differences(stored: Any, notebook: Any) -> list[str]:
    _carry_over(stored, notebook)
    found = list(_differing(stored.cells, notebook.cells))
    if not found and _identity(stored) != _identity(notebook):
        found.append("the notebook's metadata differs")
    return found


def _address(chapter: Chapter, stored: Any) -> str:
    """Return the address that the notebook is for: the one that is set, else the one it has had.

    So notebooks are the same in all clones, whatever these are clones of.
    """
    return setting(chapter.root) or (stored and address_in(stored)) or ""


def _identity(notebook: Any) -> tuple[Any, ...]:
    return notebook.metadata.get("kernelspec", {}).get("name"), [cell.id for cell in notebook.cells]


def _differing(there: Sequence[Any], made: Sequence[Any]) -> Iterator[str]:
    """Yield a line for each run of cells that one of the two alone has, and for each cell that differs."""
    for operation, start, end, first, last in matched(there, made):
        extra, missing = range(start + 1, end + 1), range(first + 1, last + 1)
        if operation == "equal":
            for number, one, other in zip(extra, there[start:end], made[first:last], strict=True):
                yield from _differing_in(number, one, other)
        elif len(extra) == len(missing):
            yield from (f"cell {number} differs in source" for number in extra)
        elif not missing:
            yield f"not in the source: {cells_called(extra)}"
        elif not extra:
            yield f"missing from what the source makes: {cells_called(missing)}"
        else:
            yield f"{cells_called(extra)} stand for what the source makes as {cells_called(missing)}"


def _differing_in(number: int, there: Any, made: Any) -> Iterator[str]:
    """Yield what is different in two cells of one text."""
    if any(there.metadata.get(key) != value for key, value in made.metadata.items()):
        yield f"cell {number} differs in metadata"
    elif there.get("attachments", {}) != made.get("attachments", {}):
        yield f"cell {number} differs in attachments"
    elif _is_compared(made) and not _has_output(made):
        yield f"cell {number} is tagged {COMPARED} and has no stored output"


def matched(there: Sequence[Any], made: Sequence[Any]) -> Sequence[tuple[str, int, int, int, int]]:
    """Return how the cells `there` come from those `made`, as opcodes of difflib."""
    one, other = ([text_of(cell) for cell in cells] for cells in (there, made))
    return SequenceMatcher(None, one, other, autojunk=False).get_opcodes()


def cells_called(numbers: Sequence[int]) -> str:
    """Return ``cell 3``, or ``cells 3, 5``."""
    return f"cell{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def orphans(root: Path) -> list[str]:
    """Return one line for each notebook that belongs to no chapter."""
    known = {chapter.notebook for chapter in chapters(root)}
    there = sorted((root / "notebooks").glob("*.ipynb"))
    return [f"notebooks/{path.name}: no chapter of this name" for path in there if path not in known]


def read_notebook(path: Path) -> Any:
    """Return the notebook on disk, or None where there is none that can be read."""
    try:
        return jupytext.read(path, fmt="ipynb")
    except (FileNotFoundError, ValidationError, NotJSONError):
        return None


def write_notebook(path: Path, notebook: Any) -> None:
    """Write `notebook` to `path`."""
    write_atomically(path, (jupytext.writes(notebook, fmt="ipynb") + "\n").encode())


def is_exercise(cell: Any) -> bool:
    """Return whether the cell is tagged as one."""
    return TAG in cell.metadata.get("tags", [])


def text_of(cell: Any) -> tuple[str, str]:
    """Return kind and text of a cell."""
    return cell.cell_type, cell.source


def _id(chapter: Chapter, cell: Any, count: int) -> str:
    return digest([chapter.slug, *text_of(cell), str(count)])


def _is_compared(cell: Any) -> bool:
    return COMPARED in cell.metadata.get("tags", [])


def _compared(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if _is_compared(cell)]


def _has_output(cell: Any) -> bool:
    # Without an execution count nbval skips the comparison and says nothing.
    return bool(cell.outputs) and cell.execution_count is not None


def _carry_over(source: Any, target: Any) -> None:
    """Copy the outputs of compared cells whose text is the same in both notebooks."""
    there = {(cell.id, cell.source): cell for cell in (_compared(source) if source else [])}
    for cell in _compared(target):
        if same := there.get((cell.id, cell.source)):
            cell.outputs, cell.execution_count = same.outputs, same.execution_count


def _executed(chapter: Chapter, notebook: Any) -> Any:
    """Return the chapter's notebook with the outputs of a run on default parameters (smoke)."""
    notebook = deepcopy(notebook)
    chapter.notebook.parent.mkdir(exist_ok=True)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(chapter.notebook.parent)}},
    )
    try:
        with records_go_to(None):
            client.execute()
    except CellExecutionError as error:
        raise LabkitError(f"{chapter.slug}: {one_line(error.ename, error.evalue)}") from error
    return notebook

"""The notebook of a chapter, made from its Markdown: one direction; compares contents, never file times."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import ValidationError
from nbformat.reader import NotJSONError

from labkit.chapters.cells import TAG, stub
from labkit.chapters.chapter import Chapter, chapters
from labkit.chapters.kernel import ThisPython, records_go_to
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


def notebook_from(chapter: Chapter) -> Any:
    """Return the notebook that the chapter's source makes, without outputs; equal sources, equal notebooks.

    Exercises come without their solutions. A cell's id comes from its text, so that it moves with the cell
    when others are inserted above it. Raises LabkitError where the source is not valid MyST.
    """
    notebook = chapter.read()
    seen: Counter[tuple[str, str]] = Counter()
    notebook.metadata = METADATA
    for cell in notebook.cells:
        if _is_exercise(cell):
            cell.source = stub(cell.source)
        key = (cell.cell_type, cell.source)
        seen[key] += 1
        cell.id = digest([chapter.slug, *key, str(seen[key])])
    return notebook


def pair(chapter: Chapter) -> bool:
    """Write the chapter's notebook where it is not up to date; returns whether it was written.

    Compared cells keep their stored output while their text is unchanged; where one has none, the notebook
    is executed with the defaults of its parameters. Raises LabkitError where a cell of it fails.
    """
    notebook = notebook_from(chapter)
    stored = _stored(chapter)
    _carry_over(stored, notebook)
    if not all(_has_output(cell) for cell in _compared(notebook)):
        _carry_over(_executed(chapter), notebook)
    if notebook == stored:
        return False
    write_atomically(chapter.notebook, (jupytext.writes(notebook, fmt="ipynb") + "\n").encode())
    return True


def differences(chapter: Chapter) -> list[str]:
    """Return a line for each way in which the notebook on disk is not what the source makes."""
    name = f"notebooks/{chapter.notebook.name}"
    stored = _stored(chapter)
    if stored is None:
        return [f"{name}: missing or not a notebook"]
    notebook = notebook_from(chapter)
    _carry_over(stored, notebook)
    found = []
    if len(stored.cells) != len(notebook.cells):
        found.append(f"{name}: has {len(stored.cells)} cells, the source makes {len(notebook.cells)}")
    for number, (there, made) in enumerate(zip(stored.cells, notebook.cells, strict=False), 1):
        keys = sorted(key for key in {*there, *made} if there.get(key) != made.get(key))
        if keys:
            # Another text explains whatever else differs.
            found.append(
                f"{name}: cell {number} differs in {'source' if 'source' in keys else ', '.join(keys)}"
            )
        elif _is_compared(made) and not _has_output(made):
            found.append(f"{name}: cell {number} is tagged {COMPARED} and has no stored output")
    if not found and stored != notebook:
        found.append(f"{name}: the notebook's metadata differs")
    return found


def orphans(root: Path) -> list[str]:
    """Return one line for each notebook that belongs to no chapter."""
    known = {chapter.notebook for chapter in chapters(root)}
    there = sorted((root / "notebooks").glob("*.ipynb"))
    return [f"notebooks/{path.name}: no chapter of this name" for path in there if path not in known]


def write_source(chapter: Chapter) -> None:
    """Rewrite the chapter's source from its notebook's cells (edited in JupyterLab), but the front matter.

    Exercises keep the solutions that the source has. Raises LabkitError, and writes nothing, where there is
    no notebook, an exercise in it was edited, or Markdown cannot hold a cell of it.
    """
    notebook = _stored(chapter)
    if notebook is None:
        raise LabkitError(f"{chapter.notebook} is missing or not a notebook")
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    solved = {stub(cell.source): cell.source for cell in chapter.read().cells if _is_exercise(cell)}
    for number, cell in enumerate(notebook.cells, 1):
        if _is_exercise(cell) and cell.source not in solved:
            raise LabkitError(f"cell {number} is an exercise: edit it, and its solution, in {chapter.source}")
        cell.source = solved.get(cell.source, cell.source)
    source = chapter.source.read_text(encoding="utf-8")
    _, front_matter, _ = source.split("---\n", 2)
    # The front matter stays as its author wrote it; jupytext must not write one of its own.
    notebook.metadata = {"jupytext": {"notebook_metadata_filter": "-all"}}
    text = f"---\n{front_matter}---\n\n" + jupytext.writes(notebook, fmt="md:myst").lstrip("\n")
    back = jupytext.reads(text, fmt="md:myst").cells
    wanted = [_content(cell) for cell in notebook.cells]
    for number, (cell, content) in enumerate(zip(back, wanted, strict=False), 1):
        if _content(cell) != content:
            raise LabkitError(
                f"cell {number} of {chapter.notebook} cannot be written as Markdown without a change"
            )
    if len(back) != len(wanted):
        raise LabkitError(f"the cells of {chapter.notebook} cannot be written as Markdown without a change")
    write_atomically(chapter.source, text.encode())


def _content(cell: Any) -> tuple[Any, ...]:
    """Return what must survive in Markdown; blank lines around a cell and pasted images do not."""
    return cell.cell_type, cell.source.strip(), cell.get("attachments") or {}, cell.metadata.get("tags", [])


def _stored(chapter: Chapter) -> Any:
    """Return the notebook on disk, or None where there is none that can be read."""
    try:
        return jupytext.read(chapter.notebook, fmt="ipynb")
    except (FileNotFoundError, ValidationError, NotJSONError):
        return None


def _is_exercise(cell: Any) -> bool:
    return TAG in cell.metadata.get("tags", [])


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


def _executed(chapter: Chapter) -> Any:
    """Return the chapter's notebook with the outputs of a run on default parameters (smoke)."""
    notebook = notebook_from(chapter)
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

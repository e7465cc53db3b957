"""What somebody who runs a chapter by hand has changed in it."""

from __future__ import annotations

import ast

from IPython import get_ipython

from labkit.chapters.bootstrap import CELL
from labkit.chapters.cells import TAG, stub
from labkit.chapters.chapter import Chapter
from labkit.chapters.parameters import parameters_of

BOOTSTRAP = CELL.partition("{")[0]


def edited_cells(chapter: Chapter) -> list[str]:
    """Return the cells executed so far in this IPython that are none of the chapter's, each once, sorted.

    Cells that only set its parameters do not count: a record has their values. Without an IPython there are
    none.
    """
    shell = get_ipython()
    executed = {text.strip() for text in shell.user_ns.get("In", ())} if shell else set()
    if not executed:
        return []
    notebook = chapter.read()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    own = {cell.source.strip() for cell in cells} | {""}
    own |= {stub(cell.source).strip() for cell in cells if TAG in cell.metadata.get("tags", [])}
    names = parameters_of(notebook, chapter.slug).keys()
    return sorted(
        text for text in executed - own if not text.startswith(BOOTSTRAP) and not _assigned(text) <= names
    )


def _assigned(text: str) -> set[str]:
    """Return the names in a cell of assignments; "" stands for whatever else is in it."""
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return {""}
    names = set()
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                names.add("")
    return names

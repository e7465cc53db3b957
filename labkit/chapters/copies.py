"""Copies of the notebooks to work in: what one edits and runs there is never overwritten."""

from __future__ import annotations

from pathlib import Path

from labkit.chapters.address import address
from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import edited, notebook_from, read_notebook, text_of, write_notebook
from labkit.errors import LabkitError


def copy_of(chapter: Chapter) -> Path:
    """Where the copy of the chapter's notebook is: a folder that git ignores."""
    return chapter.root / "runs" / "notebooks" / chapter.notebook.name


def refresh(chapter: Chapter) -> list[int]:
    """Write the copy anew where it is missing or old; one that was edited is left, and its cells returned.

    Outputs alone keep a copy, too, until the source changes.
    """
    path, made = copy_of(chapter), notebook_from(chapter, address(chapter.root))
    there = read_notebook(path)
    if there is None and path.exists():
        raise LabkitError(f"{path} is not a notebook: move it away")
    if there and (numbers := edited(chapter, there)):
        return numbers
    if there is None or [*map(text_of, there.cells)] != [*map(text_of, made.cells)]:
        write_notebook(path, made)
    return []


def edited_notebook(chapter: Chapter) -> Path:
    """Return the edited one of the chapter's notebook and its copy, the notebook where neither is.

    Raises LabkitError where both are.
    """
    paths = [
        path
        for path in (chapter.notebook, copy_of(chapter))
        if (there := read_notebook(path)) and edited(chapter, there)
    ]
    if len(paths) > 1:
        both = " and ".join(str(path.relative_to(chapter.root)) for path in paths)
        raise LabkitError(f"{both} are both edited: move the one away that should not count")
    return paths[0] if paths else chapter.notebook

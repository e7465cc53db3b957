"""Copies to work in: made where they are missing or old, never overwritten when edited."""

from __future__ import annotations

import nbformat
import pytest

from labkit.chapters.chapter import Chapter
from labkit.chapters.copies import copy_of, edited_notebook, refresh
from labkit.errors import LabkitError


def test_a_copy_follows_its_source_until_it_is_edited(paired: Chapter) -> None:
    path = copy_of(paired)
    assert path == paired.root / "runs/notebooks/t01-tiny.ipynb"
    assert refresh(paired) == []
    notebook = nbformat.read(path, 4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="kept\n")]
    nbformat.write(notebook, path)
    assert refresh(paired) == []
    assert "kept" in path.read_text()
    paired.source.write_text(paired.source.read_text().replace("seed = 0", "seed = 1"))
    assert refresh(paired) == []
    assert "seed = 1" in path.read_text()
    notebook = nbformat.read(path, 4)
    notebook.cells[2].source = "mine = 3"
    nbformat.write(notebook, path)
    paired.source.write_text(paired.source.read_text().replace("seed = 1", "seed = 2"))
    before = path.read_bytes()
    assert refresh(paired) == [3]
    assert path.read_bytes() == before
    path.write_text("{")
    with pytest.raises(LabkitError, match="is not a notebook: move it away"):
        refresh(paired)


def test_the_edited_one_is_taken_back(paired: Chapter) -> None:
    refresh(paired)
    assert edited_notebook(paired) == paired.notebook
    for path in (copy_of(paired), paired.notebook):
        notebook = nbformat.read(path, 4)
        notebook.cells[0].source = "# Mine"
        nbformat.write(notebook, path)
        if path != paired.notebook:
            assert edited_notebook(paired) == path
    with pytest.raises(
        LabkitError, match=r"notebooks/t01-tiny.ipynb and runs/notebooks/t01-tiny.ipynb are both"
    ):
        edited_notebook(paired)

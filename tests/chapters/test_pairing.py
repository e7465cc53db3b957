"""A notebook is what its chapter's Markdown makes, to the character; an edited one is never overwritten."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupytext.cli import jupytext as jupytext_command
from trial import HEADER

from labkit.chapters import pairing
from labkit.chapters.chapter import Chapter, chapters
from labkit.errors import LabkitError
from labkit.paths import book_root


def test_equal_sources_make_equal_files_whatever_the_file_times(paired: Chapter) -> None:
    stored = paired.notebook.read_bytes()
    for _ in range(4):
        for path in (paired.source, paired.notebook):
            os.utime(path, (random.randrange(10**9), random.randrange(10**9)))
        assert pairing.differences(paired) == []
        assert not pairing.pair(paired)
    paired.notebook.write_text(paired.notebook.read_text().replace("# Tiny", "# Tinier"))
    assert pairing.pair(paired, force=True)
    assert paired.notebook.read_bytes() == stored
    ids = [cell.id for cell in pairing.notebook_from(paired).cells]
    assert len(set(ids)) == len(ids)


def test_an_inserted_cell_leaves_the_ids_of_the_others(tiny: Chapter) -> None:
    before = [cell.id for cell in pairing.notebook_from(tiny).cells]
    text = tiny.source.read_text().replace("# Tiny\n", "# Tiny\n\n```{code-cell}\nnew = 1\n```\n\n")
    tiny.source.write_text(text)
    after = [cell.id for cell in pairing.notebook_from(tiny).cells]
    assert [id for id in after if id in before] == before[1:]


@pytest.mark.parametrize("number", range(6))
def test_one_changed_character_anywhere_is_found(paired: Chapter, number: int) -> None:
    notebook = nbformat.read(paired.notebook, 4)
    notebook.cells[number].source += "!"
    nbformat.write(notebook, paired.notebook)
    [line] = pairing.differences(paired)
    assert f"cell {number + 1} differs in" in line
    assert line.endswith("source")


SPOILERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a cell more": (
        lambda nb: nb.cells.append(nbformat.v4.new_code_cell("x")),
        "not in the source: cell 7",
    ),
    "tags gone": (lambda nb: nb.cells[2].metadata.pop("tags"), "cell 3 differs in metadata"),
    "two cells more": (
        lambda nb: (
            nb.cells.insert(1, nbformat.v4.new_code_cell("y"))
            or nb.cells.insert(1, nbformat.v4.new_code_cell("x"))
        ),
        "not in the source: cells 2, 3",
    ),
    "a cell less": (lambda nb: nb.cells.pop(4), "missing from what the source makes: cell 5"),
    "three cells for two": (
        lambda nb: nb.cells.__setitem__(slice(4, 6), [nbformat.v4.new_code_cell(text) for text in "abc"]),
        "cells 5, 6, 7 stand for what the source makes as cells 5, 6",
    ),
    "a picture": (lambda nb: nb.cells[0].update(attachments={"a.png": {}}), "cell 1 differs in attachments"),
    "another id": (lambda nb: nb.cells[0].update(id="abc"), "the notebook's metadata differs"),
    "no stored output": (lambda nb: nb.cells[3].update(outputs=[]), "cell 4 is tagged nbval-check-output"),
    "no execution count": (lambda nb: nb.cells[3].update(execution_count=None), "has no stored output"),
    "another kernel": (
        lambda nb: nb.metadata.kernelspec.update(name="other"),
        "the notebook's metadata differs",
    ),
}


@pytest.mark.parametrize("spoil", SPOILERS)
def test_any_other_difference_is_found_too(paired: Chapter, spoil: str) -> None:
    change, expected = SPOILERS[spoil]
    notebook = nbformat.read(paired.notebook, 4)
    change(notebook)
    nbformat.write(notebook, paired.notebook)
    [line] = pairing.differences(paired)
    assert expected in line


def test_a_missing_or_broken_notebook_and_an_orphan_are_named(paired: Chapter) -> None:
    assert pairing.orphans(paired.root) == []
    (paired.root / "notebooks" / "p99-gone.ipynb").write_text("{}")
    assert pairing.orphans(paired.root) == ["notebooks/p99-gone.ipynb: no chapter of this name"]
    for spoil in (lambda: paired.notebook.write_text("<<<<<<< ours"), paired.notebook.unlink):
        spoil()
        assert pairing.differences(paired) == ["notebooks/t01-tiny.ipynb: missing or not a notebook"]


def test_compared_cells_keep_their_output_until_their_text_changes(
    paired: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stored output lacks the "2" that executing would add: it shows which of the two happened.
    paired.source.write_text(paired.source.read_text().replace("# Tiny", "# Another title"))
    assert pairing.pair(paired)
    kept = nbformat.read(paired.notebook, 4).cells[3]
    assert [output.output_type for output in kept.outputs] == ["stream"]
    paired.source.write_text(paired.source.read_text().replace('print("two")', 'print("three")'))
    monkeypatch.setenv("LABKIT_RESULTS", str(paired.root / "results"))
    assert pairing.pair(paired)
    assert json.loads((paired.root / "seen.json").read_text())[6] is None, "a run that makes no record"
    cells = nbformat.read(paired.notebook, 4).cells
    assert cells[3].outputs[0].text == "three\n"
    assert cells[3].outputs[1].data["text/plain"] == "2"
    assert cells[3].execution_count == 3
    assert all(not cell.get("outputs") for cell in cells if cell is not cells[3])
    assert pairing.differences(paired) == []


def test_the_output_of_a_cell_edited_in_the_notebook_is_not_kept(paired: Chapter) -> None:
    notebook = nbformat.read(paired.notebook, 4)
    notebook.cells[3].update(source='print("mine")')
    notebook.cells[3].outputs[0].text = "mine\n"
    nbformat.write(notebook, paired.notebook)
    assert pairing.pair(paired, force=True)
    assert nbformat.read(paired.notebook, 4).cells[3].outputs[0].text == "two\n"


def as_saved_by_jupyterlab(notebook: Any) -> None:
    """Do what running all cells and saving does."""
    notebook.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
    notebook.metadata.language_info.update(version="3.12.1", pygments_lexer="ipython3")
    for number, cell in enumerate(notebook.cells, 1):
        cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = number, [nbformat.v4.new_output("stream", text="6\n")]


def test_outputs_alone_are_no_difference_and_are_left(paired: Chapter) -> None:
    notebook = nbformat.read(paired.notebook, 4)
    as_saved_by_jupyterlab(notebook)
    nbformat.write(notebook, paired.notebook)
    before = paired.notebook.read_bytes()
    assert pairing.differences(paired) == []
    assert not pairing.pair(paired)
    assert paired.notebook.read_bytes() == before
    # A new source takes them away: they would be those of other text.
    paired.source.write_text(paired.source.read_text().replace("seed = 0", "seed = 1"))
    assert pairing.pair(paired)
    assert not nbformat.read(paired.notebook, 4).cells[4].outputs


EDITS: dict[str, Callable[[list[Any]], Any]] = {
    "text": lambda cells: cells[0].update(source="# Tinier"),
    "code": lambda cells: cells[4].update(source="1 + 1"),
    "a new cell": lambda cells: cells.append(nbformat.v4.new_code_cell("mine = 1")),
    "a cell for another": lambda cells: cells.__setitem__(3, nbformat.v4.new_markdown_cell("Mine.")),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edited_notebook_is_never_overwritten(paired: Chapter, kind: str) -> None:
    notebook = nbformat.read(paired.notebook, 4)
    made = [cell.source for cell in notebook.cells]
    EDITS[kind](notebook.cells)
    as_saved_by_jupyterlab(notebook)
    nbformat.write(notebook, paired.notebook)
    before = paired.notebook.read_bytes()
    for source in (paired.source.read_text(), paired.source.read_text().replace("seed = 0", "seed = 1")):
        paired.source.write_text(source)
        with pytest.raises(
            LabkitError, match=r"is edited \(cell \d\): `labkit pair --from-notebook t01-tiny`"
        ):
            pairing.pair(paired)
        assert paired.notebook.read_bytes() == before
    paired.source.write_text(source.replace("seed = 1", "seed = 0"))
    assert pairing.pair(paired, force=True)
    assert [cell.source for cell in nbformat.read(paired.notebook, 4).cells] == made


def test_a_new_source_is_no_edit_of_the_notebook(paired: Chapter) -> None:
    # Twice, and neither is committed: the notebook itself tells that nobody has touched it.
    for seed in (1, 2):
        paired.source.write_text(paired.source.read_text().replace(f"seed = {seed - 1}", f"seed = {seed}"))
        assert pairing.pair(paired)
        assert f"seed = {seed}" in paired.notebook.read_text()


def test_the_notebooks_of_the_book_have_no_outputs() -> None:
    for chapter in chapters(book_root()):
        cells = nbformat.read(chapter.notebook, 4).cells
        with_outputs = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
        assert all(pairing.COMPARED in cell.metadata.tags for cell in with_outputs), chapter.slug


def test_a_cell_that_fails_while_pairing_is_one_line(tiny: Chapter) -> None:
    tiny.source.write_text(tiny.source.read_text().replace("1 + 1", "1 / 0"))
    with pytest.raises(LabkitError, match=r"^t01-tiny: ZeroDivisionError: division by zero$"):
        pairing.pair(tiny)
    assert not tiny.notebook.exists()


def test_a_source_that_is_not_myst_is_one_line(tiny: Chapter) -> None:
    tiny.source.write_text(HEADER + "# T\n\n```{code-cell}\n---\na: [\n---\nx\n```\n")
    with pytest.raises(LabkitError, match="Invalid YAML") as caught:
        pairing.notebook_from(tiny)
    assert "\n" not in str(caught.value)


def test_jupytext_does_not_pair_by_itself(tmp_path: Path) -> None:
    # In a JupyterLab with jupytext, a notebook that names formats shows the inputs of its source, solutions
    # included, and saving it rewrites the source. What jupytext does then is what `--sync` does.
    for chapter in chapters(book_root()):
        copies = [tmp_path / path.relative_to(chapter.root) for path in (chapter.source, chapter.notebook)]
        for copy in copies:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((chapter.root / copy.relative_to(tmp_path)).read_bytes())
        before = [copy.read_bytes() for copy in copies]
        for copy in reversed(copies):
            os.utime(copies[0])  # the source is the newer one
            jupytext_command(["--sync", "--quiet", str(copy)])
        assert [copy.read_bytes() for copy in copies] == before
        assert "# your turn" in copies[1].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("tags", "folded"),
    [
        ("figure, remove-input", True),
        ("claims, hide-input", True),
        ("in-short", True),
        ("hide-cell", True),
        ("parameters, hide-cell", False),
        ("exercise, hide-input", False),
        ("nbval-check-output", False),
    ],
)
def test_bookkeeping_and_drawing_are_folded_in_the_notebook(tiny: Chapter, tags: str, folded: bool) -> None:
    code = "# solution\n1\n# end\nf()"
    tiny.source.write_text(f"{HEADER}# T\n\n```{{code-cell}}\n:tags: [{tags}]\n\n{code}\n```\n")
    metadata = pairing.notebook_from(tiny).cells[2].metadata
    assert (metadata.get("jupyter"), metadata.get("cellView")) == (
        ({"source_hidden": True}, "form") if folded else (None, None)
    )
    assert metadata["tags"] == tags.split(", ")


def test_no_notebook_of_the_book_shows_raw_myst() -> None:
    for chapter in chapters(book_root()):
        notebook = nbformat.read(chapter.notebook, 4)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert not re.search(r"\{[a-z:]+\}`|^:::|^`{3,}\{|\]\((?!https://)[^)]*\.md", text, re.MULTILINE)

"""A notebook is what its chapter's Markdown makes, to the character, and the way back loses nothing."""

from __future__ import annotations

import json
import os
import random
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

# Each is written the way jupytext writes it, so that the way back must give the same bytes.
SOURCES = {
    "directives": "# T\n\n```{note}\n:class: tip\nText.\n```\n\n````{tab}\n```{tab-item} A\nx\n```\n````\n",
    "maths": "# T\n\n$$\na_1 < \\alpha\n$$ (eq-a)\n\nInline $x_i$ and {cite}`he2016` and | a | table |\n",
    "two markdown cells": "# T\n\nOne.\n\n+++\n\nTwo.\n",
    "cell metadata": '# T\n\n+++ {"tags": ["aside"]}\n\nAn aside.\n',
    "tags": "# T\n\n```{code-cell}\n:tags: [hide-input, parameters]\n\nx = 1\n```\n",
    "nested options": "# T\n\n```{code-cell}\n---\nmystnb:\n  image:\n    alt: 'A: b'\n---\nf()\n```\n",
    "fence in code": '# T\n\n````{code-cell}\ntext = """\n```\nfenced\n```\n"""\n````\n',
    "colon first": "# T\n\n```{code-cell}\n\n:not an option\n```\n",
    "blank lines and spaces": "# T\n\n```{code-cell}\ndef f():\n\n    return 1\n\n\nf()\n```\n",
    "unicode": "# Größe\n\nσ → ∞ “quoted”\n\n```{code-cell}\nσ = 'é'\n```\n",
    "twice the same": "# T\n\n```{code-cell}\nx += 1\n```\n\n```{code-cell}\nx += 1\n```\n",
}


def contents(notebook: Any) -> list[tuple[str, str, dict[str, Any]]]:
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in notebook.cells]


@pytest.mark.parametrize("body", SOURCES.values(), ids=SOURCES)
def test_there_and_back_gives_the_same_bytes(tiny: Chapter, body: str) -> None:
    tiny.source.write_text(HEADER + body, encoding="utf-8")
    assert pairing.pair(tiny)
    assert contents(nbformat.read(tiny.notebook, 4)) == contents(tiny.read())
    tiny.source.write_text(HEADER, encoding="utf-8")
    pairing.write_source(tiny)
    assert tiny.source.read_text(encoding="utf-8") == HEADER + body
    assert pairing.differences(tiny) == []


def test_every_chapter_of_the_book_comes_back_cell_by_cell(tmp_path: Path) -> None:
    for chapter in chapters(book_root()):
        copy = Chapter(chapter.slug, tmp_path)
        for path in (copy.source, copy.notebook):
            path.parent.mkdir(exist_ok=True)
        copy.source.write_bytes(chapter.source.read_bytes())
        nbformat.write(pairing.notebook_from(chapter), copy.notebook)
        pairing.write_source(copy)
        assert contents(copy.read()) == contents(chapter.read())


def test_equal_sources_make_equal_files_whatever_the_file_times(paired: Chapter) -> None:
    stored = paired.notebook.read_bytes()
    for _ in range(4):
        for path in (paired.source, paired.notebook):
            os.utime(path, (random.randrange(10**9), random.randrange(10**9)))
        assert pairing.differences(paired) == []
        assert not pairing.pair(paired)
    paired.notebook.write_text(paired.notebook.read_text().replace("# Tiny", "# Tinier"))
    assert pairing.pair(paired)
    assert paired.notebook.read_bytes() == stored
    ids = [cell.id for cell in pairing.notebook_from(paired).cells]
    assert len(set(ids)) == len(ids)


def test_an_inserted_cell_leaves_the_ids_of_the_others(tiny: Chapter) -> None:
    before = [cell.id for cell in pairing.notebook_from(tiny).cells]
    text = tiny.source.read_text().replace("# Tiny\n", "# Tiny\n\n```{code-cell}\nnew = 1\n```\n\n")
    tiny.source.write_text(text)
    after = [cell.id for cell in pairing.notebook_from(tiny).cells]
    assert [id for id in after if id in before] == before[1:]


@pytest.mark.parametrize("number", range(5))
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
        "has 6 cells, the source makes 5",
    ),
    "tags gone": (lambda nb: nb.cells[1].metadata.pop("tags"), "cell 2 differs in metadata"),
    "output of another cell": (
        lambda nb: nb.cells[3].update(execution_count=3),
        "cell 4 differs in execution_count",
    ),
    "no stored output": (lambda nb: nb.cells[2].update(outputs=[]), "cell 3 is tagged nbval-check-output"),
    "no execution count": (lambda nb: nb.cells[2].update(execution_count=None), "has no stored output"),
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
    kept = nbformat.read(paired.notebook, 4).cells[2]
    assert [output.output_type for output in kept.outputs] == ["stream"]
    paired.source.write_text(paired.source.read_text().replace('print("two")', 'print("three")'))
    monkeypatch.setenv("LABKIT_RESULTS", str(paired.root / "results"))
    assert pairing.pair(paired)
    assert json.loads((paired.root / "seen.json").read_text())[6] is None, "a run that makes no record"
    cells = nbformat.read(paired.notebook, 4).cells
    assert cells[2].outputs[0].text == "three\n"
    assert cells[2].outputs[1].data["text/plain"] == "2"
    assert cells[2].execution_count == 2
    assert all(not cell.outputs for cell in (cells[1], cells[3], cells[4]))
    assert pairing.differences(paired) == []


def test_the_output_of_a_cell_edited_in_the_notebook_is_not_kept(paired: Chapter) -> None:
    notebook = nbformat.read(paired.notebook, 4)
    notebook.cells[2].update(source='print("mine")')
    notebook.cells[2].outputs[0].text = "mine\n"
    nbformat.write(notebook, paired.notebook)
    assert pairing.pair(paired)
    assert nbformat.read(paired.notebook, 4).cells[2].outputs[0].text == "two\n"


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


def test_what_markdown_cannot_hold_is_refused_and_nothing_is_written(paired: Chapter) -> None:
    before = paired.source.read_bytes()
    notebook = nbformat.read(paired.notebook, 4)
    notebook.cells[0].attachments = {"a.png": {"image/png": "aGk="}}
    nbformat.write(notebook, paired.notebook)
    with pytest.raises(LabkitError, match=r"cell 1 of .* cannot be written as Markdown"):
        pairing.write_source(paired)
    notebook.cells[0] = nbformat.v4.new_markdown_cell("One.\n\n```{code-cell}\nx\n```")
    nbformat.write(notebook, paired.notebook)
    with pytest.raises(LabkitError, match="cannot be written as Markdown"):
        pairing.write_source(paired)
    assert paired.source.read_bytes() == before


EXERCISE = (
    "# T\n\n```{code-cell}\n:tags: [exercise]\n\n"
    "def f(x):\n    # solution\n    return x + 1\n    # end\n\n\np.f(f)\n```\n\nAfter.\n"
)


def test_an_exercise_loses_its_solution_on_the_way_to_the_notebook_and_gets_it_back(tiny: Chapter) -> None:
    tiny.source.write_text(HEADER + EXERCISE, encoding="utf-8")
    pairing.pair(tiny)
    notebook = nbformat.read(tiny.notebook, 4)
    assert notebook.cells[1].source == "def f(x):\n    ...  # your turn\n\n\np.f(f)"
    notebook.cells[2].source = "Edited."
    nbformat.write(notebook, tiny.notebook)
    pairing.write_source(tiny)
    assert tiny.source.read_text(encoding="utf-8") == HEADER + EXERCISE.replace("After", "Edited")


def test_an_exercise_edited_in_the_notebook_is_refused(tiny: Chapter) -> None:
    tiny.source.write_text(HEADER + EXERCISE, encoding="utf-8")
    pairing.pair(tiny)
    notebook = nbformat.read(tiny.notebook, 4)
    notebook.cells[1].source = "def f(x):\n    return x + 1\n\n\np.f(f)"
    nbformat.write(notebook, tiny.notebook)
    with pytest.raises(LabkitError, match=r"cell 2 is an exercise: edit it, and its solution, in .*\.md"):
        pairing.write_source(tiny)
    assert tiny.source.read_text(encoding="utf-8") == HEADER + EXERCISE


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

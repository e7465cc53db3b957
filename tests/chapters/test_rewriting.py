"""The way back from a notebook to its source loses nothing, and changes only what was edited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import HEADER

from labkit.chapters import pairing
from labkit.chapters.chapter import Chapter, chapters
from labkit.chapters.rewriting import write_source
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


def edit(chapter: Chapter, change: Callable[[list[Any]], Any]) -> None:
    """Edit the cells of the chapter's notebook in place."""
    notebook = nbformat.read(chapter.notebook, 4)
    change(notebook.cells)
    nbformat.write(notebook, chapter.notebook)


def new_cell(text: str) -> Any:
    return nbformat.v4.new_markdown_cell(text)


@pytest.mark.parametrize("lexer", ["", " ipython3"])
@pytest.mark.parametrize("body", SOURCES.values(), ids=SOURCES)
def test_what_was_not_edited_comes_back_to_the_byte(tiny: Chapter, body: str, lexer: str) -> None:
    body = body.replace("{code-cell}", "{code-cell}" + lexer)
    tiny.source.write_text(HEADER + body, encoding="utf-8")
    assert pairing.pair(tiny)
    edit(tiny, lambda cells: cells.append(new_cell("More.")))
    assert write_source(tiny, tiny.notebook) == []
    between = "" if body.rstrip().endswith("`") and "code-cell" in body.split("# T")[-1] else "\n+++\n"
    assert tiny.source.read_text(encoding="utf-8") == HEADER + body + between + "\nMore.\n"
    assert pairing.pair(tiny)
    assert pairing.differences(tiny) == []


def test_every_chapter_of_the_book_comes_back_cell_by_cell(tmp_path: Path) -> None:
    for chapter in chapters(book_root()):
        copy = Chapter(chapter.slug, tmp_path, chapter.part)
        for path in (copy.source, copy.notebook):
            path.parent.mkdir(exist_ok=True, parents=True)
        copy.source.write_bytes(chapter.source.read_bytes())
        (tmp_path / "book/references.bib").write_bytes((chapter.root / "book/references.bib").read_bytes())
        nbformat.write(pairing.notebook_from(copy), copy.notebook)
        write_source(copy, copy.notebook)
        assert copy.source.read_bytes() == chapter.source.read_bytes()


def test_an_edited_paragraph_keeps_its_citations(tiny: Chapter) -> None:
    (tiny.root / "book/references.bib").write_text("@misc{a, author = {B, C}, title = {D}, year = {2000}}")
    body = "# T\n\nText of {cite}`a` on a {term}`x y <z>` and [this](intro.md).\n\n```{code-cell}\nx\n```\n"
    tiny.source.write_text(HEADER + body, encoding="utf-8")
    (tiny.root / "book/intro.md").write_text("# I\n")
    pairing.pair(tiny)
    [text] = [cell.source for cell in nbformat.read(tiny.notebook, 4).cells if cell.cell_type == "markdown"]
    assert text == "# T\n\nText of B (2000) on a x y and this."
    edit(tiny, lambda cells: cells[0].update(source=text.replace("Text of", "Words of")))
    write_source(tiny, tiny.notebook)
    assert tiny.source.read_text(encoding="utf-8") == HEADER + body.replace("Text of", "Words of")


def test_what_markdown_cannot_hold_is_refused_and_nothing_is_written(paired: Chapter) -> None:
    before = paired.source.read_bytes()
    notebook = nbformat.read(paired.notebook, 4)
    notebook.cells[0].attachments = {"a.png": {"image/png": "aGk="}}
    nbformat.write(notebook, paired.notebook)
    with pytest.raises(LabkitError, match=r"cell 1 of .* cannot be written as Markdown"):
        write_source(paired, paired.notebook)
    notebook.cells[0] = nbformat.v4.new_markdown_cell("One.\n\n```{code-cell}\nx\n```")
    nbformat.write(notebook, paired.notebook)
    with pytest.raises(LabkitError, match="cannot be written as Markdown"):
        write_source(paired, paired.notebook)
    assert paired.source.read_bytes() == before


EXERCISE = (
    "# T\n\n```{code-cell}\n:tags: [exercise]\n\n"
    "def f(x):\n    # solution\n    return x + 1\n    # end\n\n\np.f(f)\n```\n\nAfter.\n"
)


def test_an_exercise_loses_its_solution_on_the_way_to_the_notebook_and_gets_it_back(tiny: Chapter) -> None:
    tiny.source.write_text(HEADER + EXERCISE, encoding="utf-8")
    pairing.pair(tiny)
    notebook = nbformat.read(tiny.notebook, 4)
    assert notebook.cells[2].source == "def f(x):\n    ...  # your turn\n\n\np.f(f)"
    notebook.cells[3].source = "Edited."
    nbformat.write(notebook, tiny.notebook)
    write_source(tiny, tiny.notebook)
    assert tiny.source.read_text(encoding="utf-8") == HEADER + EXERCISE.replace("After", "Edited")


def test_all_is_taken_over_but_a_solved_exercise(tiny: Chapter) -> None:
    tiny.source.write_text(HEADER + EXERCISE, encoding="utf-8")
    pairing.pair(tiny)

    def solve(cells: list[Any]) -> None:
        cells[2].source = "def f(x):\n    return x + 1  # mine\n\n\np.f(f)"
        cells[3].source = "Edited."
        cells.insert(1, new_cell("New."))

    edit(tiny, solve)
    assert write_source(tiny, tiny.notebook) == [4]
    wanted = EXERCISE.replace("After", "Edited").replace("# T\n", "# T\n\n+++\n\nNew.\n")
    assert tiny.source.read_text(encoding="utf-8") == HEADER + wanted
    with pytest.raises(LabkitError, match=r"is edited \(cell 4\)"):
        pairing.pair(tiny)


def test_a_notebook_without_ids_comes_back_too(tiny: Chapter) -> None:
    # Colab saves none, and adds metadata of its own.
    tiny.source.write_text(HEADER + SOURCES["nested options"] + EXERCISE, encoding="utf-8")
    pairing.pair(tiny)

    def save(cells: list[Any]) -> None:
        for number, cell in enumerate(cells):
            cell.id = f"colab{number}"
            cell.metadata |= {"id": "x", "outputId": "y"}
        exercise = next(cell for cell in cells if "p.f(f)" in cell.source)
        exercise.source = exercise.source.replace("...", "return x + 1")
        cells[-1].source = "Afterwards."
        cells.insert(0, new_cell("Zero."))
        cells[0].metadata["id"] = "z"

    edit(tiny, save)
    write_source(tiny, tiny.notebook)
    text = tiny.source.read_text(encoding="utf-8")
    assert text.startswith(HEADER + "Zero.\n\n+++\n\n# T\n")
    assert "alt: 'A: b'" in text
    assert text.endswith(EXERCISE[EXERCISE.index("```{code") :].replace("After.", "Afterwards."))


def test_exercises_are_taken_out_and_added_in_the_source(tiny: Chapter) -> None:
    tiny.source.write_text(HEADER + EXERCISE, encoding="utf-8")
    pairing.pair(tiny)
    edit(tiny, lambda cells: cells.pop(2))
    with pytest.raises(LabkitError, match=r"lacks an exercise: take it out of .*t01-tiny\.md"):
        write_source(tiny, tiny.notebook)
    pairing.pair(tiny, force=True)
    new = nbformat.v4.new_code_cell("def g(): ...", metadata={"tags": ["exercise"]})
    edit(tiny, lambda cells: cells.append(new))
    with pytest.raises(LabkitError, match=r"has an exercise that .*t01-tiny\.md has not"):
        write_source(tiny, tiny.notebook)
    assert tiny.source.read_text(encoding="utf-8") == HEADER + EXERCISE


def test_tags_edited_in_the_notebook_are_taken_over(paired: Chapter) -> None:
    edit(paired, lambda cells: cells[4].metadata.update(tags=["figure"]))
    write_source(paired, paired.notebook)
    assert "```{code-cell}\n:tags: [figure]\n\nimport json" in paired.source.read_text()

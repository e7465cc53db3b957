"""A new chapter: its files, its place in the contents, and that it runs."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest
from click.testing import CliRunner, Result

from labkit.chapters.cells import TAG, stub, with_answer
from labkit.chapters.chapter import find_chapter, toc_pages
from labkit.chapters.pairing import differences, pair
from labkit.chapters.template import TEMPLATES, with_page
from labkit.commands.main import main
from labkit.errors import LabkitError
from labkit.lab.declared import evidence_of
from labkit.lab.record import read_record
from labkit.source.files import PACKAGE

TOC = """format: jb-book
root: book/intro
parts:
  - caption: Chapters
    chapters:
      - file: book/training/index
        sections:
          - file: book/training/p22-gradients
      - file: book/adaptive/index
  - caption: Back matter
    chapters:
      - file: book/glossary
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book/training").mkdir(parents=True)
    (tmp_path / "book/training/index.md").write_text("# Training\n")
    (tmp_path / "book/training/p22-gradients.md").write_text("---\nkernelspec: x\n---\n\n# Gradients\n")
    (tmp_path / "_toc.yml").write_text(TOC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["new", *arguments])


def files(book: Path) -> dict[str, str]:
    found = [path for path in book.rglob("*") if path.is_file()]
    return {path.relative_to(book).as_posix(): path.read_text(encoding="utf-8") for path in found}


def test_a_chapter_of_a_new_part_has_all_its_files_and_is_in_the_contents(book: Path) -> None:
    before = files(book)
    done = new("p23", "Attacks that ask: 2 queries", "--part", "adversarial")
    assert done.exit_code == 0, done.output
    slug = "p23-attacks-that-ask-2-queries"
    made = files(book)
    assert made.keys() - before.keys() == {
        f"book/adversarial/{slug}.md",
        "book/adversarial/index.md",
        "labkit/exercises/p23.py",
        "tests/support/wrong_answers/p23.py",
    }
    assert [f"wrote {name}" in done.output for name in made.keys() - before.keys()] == [True] * 4
    assert toc_pages(book)[-3:] == ["book/adversarial/index", f"book/adversarial/{slug}", "book/glossary"]
    chapter = find_chapter("p23", book)
    assert (chapter.slug, chapter.title(), bool(chapter.question())) == (
        slug,
        "Attacks that ask: 2 queries",
        True,
    )
    assert f'open_lab("{slug}"' in made[f"book/adversarial/{slug}.md"]
    for text in (made[name] for name in made.keys() - before.keys()):
        assert not any(word in text for word in ("NUMBER", "SLUG", "TITLE"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("p22", "Again", "--part", "training"), "p22 is there already: book/training/p22-gradients.md"),
        (("23", "A title", "--part", "training"), "called by p and two digits, such as p23, not '23'"),
        (("p23", "A title", "--part", "../x"), "a part is named by small letters"),
        (("p23", "…", "--part", "training"), "a title has letters or digits"),
        (("p24", "A title", "--part", "training"), "labkit/exercises/p24.py is there already"),
    ],
)
def test_a_name_that_is_not_allowed_or_taken_is_refused(
    book: Path, arguments: tuple[str, ...], message: str
) -> None:
    (book / "labkit/exercises").mkdir(parents=True)
    (book / "labkit/exercises/p24.py").write_text("mine = 1\n")
    before = files(book)
    done = new(*arguments)
    assert done.exit_code == 1
    assert message in done.output
    assert done.output.count("\n") == 1
    assert files(book) == before


def test_what_cannot_be_written_leaves_nothing(book: Path) -> None:
    (book / "tests").write_text("in the way of a folder")
    before = files(book)
    assert new("p23", "A title", "--part", "training").exit_code == 1
    assert files(book) == before


def test_a_page_comes_last_in_its_part_and_a_new_part_after_the_others() -> None:
    lines = with_page(TOC, "training", "p01-a").splitlines()
    assert lines[lines.index("          - file: book/training/p22-gradients") + 1] == (
        "          - file: book/training/p01-a"
    )
    lines = with_page(TOC, "adaptive", "p02-b").splitlines()
    at = lines.index("      - file: book/adaptive/index")
    assert lines[at + 1 : at + 4] == [
        "        sections:",
        "          - file: book/adaptive/p02-b",
        "  - caption: Back matter",
    ]
    with pytest.raises(LabkitError, match="has no part"):
        with_page("root: book/intro\nchapters:\n  - file: book/x\n", "training", "p01-a")


def test_the_exercise_of_a_new_chapter_takes_its_solution_and_no_wrong_answer() -> None:
    checkers = SimpleNamespace(**runpy.run_path(str(TEMPLATES / "exercises.py")))
    [wrong] = runpy.run_path(str(TEMPLATES / "wrong_answers.py"))["WRONG"].values()
    cells = jupytext.read(TEMPLATES / "chapter.md", fmt="md:myst").cells
    [cell] = [cell.source for cell in cells if TAG in cell.metadata.get("tags", [])]

    def accepted(source: str) -> bool:
        *lines, last = source.replace("from labkit.exercises import NUMBER", "").split("\n")
        namespace = {"NUMBER": checkers}
        exec("\n".join(lines), namespace)
        return bool(eval(last, namespace).accepted)

    assert accepted(cell)
    assert not accepted(stub(cell))
    assert len(set(wrong)) == 2
    assert not any(accepted(with_answer(cell, answer)) for answer in wrong)


@pytest.mark.slow
def test_a_new_chapter_pairs_and_runs_with_every_claim_computed(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(book))  # of its kernel: there are the checkers
    shutil.copytree(PACKAGE, book / "labkit", ignore=shutil.ignore_patterns("__pycache__"))
    assert new("p99", "A trial", "--part", "adaptive").exit_code == 0
    chapter = find_chapter("p99", book)
    assert pair(chapter)
    assert differences(chapter) == []
    done = CliRunner().invoke(main, ["run", "p99"])
    assert done.exit_code == 0, done.output
    record = read_record(book / "runs/p99-a-trial/smoke/seed-0.json")
    evidence = evidence_of(chapter)
    assert len(evidence.claims) == 2
    assert evidence.missing(record) == []

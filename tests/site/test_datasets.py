"""The pages of the data sets: one for each, and what they take from code and records."""

from __future__ import annotations

from pathlib import Path

import pytest
from plain_sphinx import build, text_of, write_pages
from trial import cell, text_of_chapter, write_book

from labkit.chapters.chapter import Chapter, chapters, toc_pages
from labkit.data.embedded.registry import EMBEDDED
from labkit.data.sources.registry import SOURCES
from labkit.lab.record import Record, records
from labkit.site.directives.datasets import all_sets, sets_used
from labkit.source.files import PACKAGE

BOOK = PACKAGE.parent
CELLS = (
    cell('train, test = lab.images("mnist", 100)'),
    cell('few = load("cifar10", "test")', "figure"),
)
PAGE = "# {name}\n\n```{{published-files}} {name}\n```\n\n```{{chapters-using}} {name}\n```\n"


def test_every_data_set_has_its_page() -> None:
    pages = toc_pages(BOOK)
    assert set(all_sets()) == {Path(page).name for page in pages if page.startswith("book/data/")}
    overview = (BOOK / "book/data.md").read_text(encoding="utf-8")
    for name in all_sets():
        text = (BOOK / f"book/data/{name}.md").read_text(encoding="utf-8")
        for heading in ("Origin", "Licence", "Splits", "How it arrives", "Copies that differ", "How to cite"):
            assert f"\n{heading}\n: " in text, (name, heading)
        assert f"```{{chapters-using}} {name}\n" in text
        assert (f"```{{published-files}} {name}\n" in text) == (name in SOURCES)
        assert f"](data/{name}.md)" in overview


def test_the_sets_of_the_package_come_first() -> None:
    assert all_sets() == [*EMBEDDED, *SOURCES]
    assert set(EMBEDDED) >= {"glyphs", "glyphs100", "digits"}


@pytest.mark.parametrize("chapter", chapters(BOOK), ids=lambda chapter: chapter.number)
def test_what_a_run_used_is_found_in_the_code_of_its_chapter(chapter: Chapter) -> None:
    used = sets_used(chapter)
    assert used
    assert used.keys() <= set(all_sets())
    for record in records(chapter, BOOK / "results", "laptop"):
        assert {part["name"].split("/")[0] for part in record.data} <= {
            name for name, profiles in used.items() if record.profile in profiles
        }


def trial(root: Path, *cells: str) -> dict[str, tuple[str, ...]]:
    return sets_used(write_book(root, *map(cell, cells)))  # type: ignore[return-value]


def test_a_set_called_directly_is_used_by_every_profile(tmp_path: Path) -> None:
    used = trial(tmp_path, 'more = glyphs("test", 9)', 'a, b = lab.images("cifar10")', 'x = other("mnist")')
    assert used == {"glyphs": ("smoke", "laptop", "full"), "cifar10": ("laptop", "full")}


def test_a_loaded_set_is_used_by_every_profile(tmp_path: Path) -> None:
    used = trial(tmp_path, 'x = store.load("cifar10", "test"); lab.images("cifar10"); load("weights.pt")')
    assert used == {"cifar10": ("smoke", "laptop", "full"), "glyphs": ("smoke",)}


def test_a_set_that_only_judges_is_used(tmp_path: Path) -> None:
    used = trial(tmp_path, 'judges = lab.test_images("dtd")')
    assert used == {"dtd": ("laptop", "full"), "glyphs100": ("smoke",)}


def test_smoke_uses_what_stands_in_for_the_set_that_was_asked_for(tmp_path: Path) -> None:
    used = trial(tmp_path, 'a, b = lab.data("mnist")', 'c, d = lab.images("cifar100"); x.data("no set")')
    real = ("laptop", "full")
    assert used == {"mnist": real, "digits": ("smoke",), "cifar100": real, "glyphs100": ("smoke",)}


def test_a_page_names_the_files_and_follows_chapters_and_records(tmp_path: Path) -> None:
    write_pages(
        tmp_path,
        {
            "intro": "# A book",
            "p00-trial": text_of_chapter(*CELLS),
            "data/mnist": PAGE.format(name="mnist"),
            "data/cifar10": PAGE.format(name="cifar10"),
        },
    )
    chapter = tmp_path / "book/p00-trial.md"
    code, _, errors = build(tmp_path)
    assert code == 0, errors
    page = text_of(tmp_path, "data/mnist")
    for file in SOURCES["mnist"].files:
        assert f"{file.name} , {file.size:,} bytes, sha256 {file.sha256}" in page
    assert "p00: A trial laptop, full none" in page
    assert '<a class="reference internal" href="../p00-trial.html">' in (
        (tmp_path / "_build/html/book/data/mnist.html").read_text()
    )
    # What only draws a figure is no experiment.
    assert "No chapter uses it yet." in text_of(tmp_path, "data/cifar10")

    for seed, differences in ((0, ""), (1, "nine copies")):
        data = [{"name": "mnist/train[first 100]", "images": 100, "differences": differences}]
        Record(chapter="p00-trial", profile="laptop", seed=seed, data=data).write(tmp_path / "results")
    code, read, errors = build(tmp_path)
    assert code == 0, errors
    assert {"book/data/mnist", "book/data/cifar10"} <= read
    page = text_of(tmp_path, "data/mnist")
    assert "p00: A trial laptop, full laptop 0, laptop 1" in page
    assert "The copy that the recorded runs used: as published; or nine copies." in page

    chapter.write_text(chapter.read_text().replace("mnist", "cifar10"))
    assert build(tmp_path)[0] == 0
    assert "No chapter uses it yet." in text_of(tmp_path, "data/mnist")
    assert "p00: A trial laptop, full none" in text_of(tmp_path, "data/cifar10")


def test_an_unknown_set_is_named(tmp_path: Path) -> None:
    write_pages(tmp_path, {"intro": "# A book\n\n```{published-files} glyphs\n```"})
    code, _, errors = build(tmp_path)
    assert code != 0
    assert "intro.md:3" in errors
    assert f"unknown data set 'glyphs'; allowed: {', '.join(SOURCES)}" in errors

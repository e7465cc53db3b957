"""The last check of `make test` sees whatever did not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from colab import listed
from ran import LIMIT, NEEDS_BROWSER, NEEDS_DATA, NEEDS_WEIGHTS, Case, cases, problems

from labkit.chapters.chapter import Chapter
from labkit.data.weights import WEIGHTS

TESTS = [Case("tests.test_a", "test_one", "passed"), Case("tests.test_a", "test_two", NEEDS_DATA)]
NOTED = {"seconds": str(LIMIT / 6), "kernel": "colab", "numpy": listed()["numpy"]}
CELLS = [Case("notebooks.t01-tiny.ipynb", f"Cell {number}", "passed", NOTED) for number in range(5)]


def noted(number: int, **properties: str) -> list[Case]:
    """Return the cells, one of them with other properties."""
    cell = CELLS[number]
    return [*CELLS[:number], replace(cell, properties=NOTED | properties), *CELLS[number + 1 :]]


@pytest.fixture
def book(paired: Chapter, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    (paired.root / "tests").mkdir()
    (paired.root / "tests" / "test_a.py").touch()
    return paired.root


def test_all_is_well(book: Path) -> None:
    assert list(problems(book, TESTS, CELLS)) == []


WRONG: dict[str, tuple[Callable[[Path], object], list[Case], list[Case], str]] = {
    "failed test": (
        Path.exists,
        [*TESTS, Case("tests.test_a", "x", "failed")],
        CELLS,
        "failed: tests.test_a x",
    ),
    "test that was skipped": (Path.exists, [*TESTS, Case("tests.test_a", "x", "no GPU")], CELLS, "skipped:"),
    "file without a passed test": (Path.exists, TESTS[1:], CELLS, "tests/test_a.py: no test of it passed"),
    "file that did not run": (
        lambda book: (book / "tests/test_b.py").touch(),
        TESTS,
        CELLS,
        "tests/test_b.py",
    ),
    "cell that did not run": (Path.exists, TESTS, CELLS[1:], "4 of its 5 code cells ran"),
    "cell that was skipped": (
        Path.exists,
        TESTS,
        [*CELLS[1:], Case("notebooks.t01-tiny.ipynb", "Cell 0", NEEDS_DATA)],
        "skipped: notebooks.t01-tiny.ipynb Cell 0",
    ),
    "notebook that is dear": (
        Path.exists,
        TESTS,
        noted(2, seconds=str(LIMIT)),
        f"computes for {LIMIT * 5 / 3:.0f} s, more than {LIMIT:.0f} s; the dearest: Cell 2 {LIMIT:.1f} s",
    ),
    "two kernels": (Path.exists, TESTS, noted(1, kernel="pinned"), "the kernels of the notebooks are"),
    "another kernel": (
        Path.exists,
        TESTS,
        [replace(cell, properties=NOTED | {"kernel": "python3"}) for cell in CELLS],
        "the kernels of the notebooks are ['python3']",
    ),
    "a kernel that is not Colab's": (Path.exists, TESTS, noted(3, numpy="2.4.0"), "has numpy 2.4.0"),
    "chapter without notebook": (
        lambda book: (book / "notebooks/t01-tiny.ipynb").unlink(),
        TESTS,
        [],
        "0 notebooks for 1 chapters",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_did_not_run_is_named(book: Path, case: str) -> None:
    change, tests, cells, message = WRONG[case]
    change(book)
    assert any(message in line for line in problems(book, tests, cells))


def test_without_an_index_the_pinned_kernel_will_do(book: Path) -> None:
    pinned = [replace(cell, properties=NOTED | {"kernel": "pinned", "numpy": "2.4.0"}) for cell in CELLS]
    assert list(problems(book, TESTS, pinned)) == []


def test_with_the_data_there_nothing_may_be_skipped(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (book / "cifar10.npz").touch()
    monkeypatch.setenv("LABKIT_DATA", str(book))
    assert any("test_two" in line for line in problems(book, TESTS, CELLS))


def test_pages_may_go_unread_only_where_there_is_no_browser(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (book / "tests" / "pages").mkdir()
    (book / "tests" / "pages" / "test_b.py").touch()
    tests = [*TESTS, Case("tests.pages.test_b", "test_three", NEEDS_BROWSER)]
    programs = {"chromium", "chromedriver"}
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name in programs else None)
    monkeypatch.delenv("CI", raising=False)
    assert list(problems(book, tests, CELLS)) == []
    assert list(problems(book, TESTS, CELLS)) == ["tests/pages/test_b.py: no test of it passed"]

    monkeypatch.setenv("CI", "true")
    assert any("skipped: tests.pages.test_b" in line for line in problems(book, tests, CELLS))

    monkeypatch.delenv("CI")
    programs.add("npm")
    assert any("skipped: tests.pages.test_b" in line for line in problems(book, tests, CELLS))


def test_reports_are_read(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    assert cases(report) == []
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.a" name="p"/>'
        '<testcase classname="tests.a" name="f"><failure message="no"/></testcase>'
        '<testcase classname="n" name="c"><properties><property name="kernel" value="k"/></properties>'
        "</testcase>"
        '<testcase classname="tests.a" name="x"><skipped type="pytest.xfail" message="later"/></testcase>'
        "</testsuite></testsuites>"
    )
    assert [case.state for case in cases(report)] == ["passed", "failed", "passed", "later"]
    assert [case.properties for case in cases(report)] == [{}, {}, {"kernel": "k"}, {}]


def test_weights_may_be_missing_but_not_skipped_when_they_are_there(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    tests = [*TESTS[:1], Case("tests.test_a", "test_three", NEEDS_WEIGHTS)]
    assert list(problems(book, tests, CELLS)) == []
    (tmp_path / "data/weights").mkdir(parents=True)
    for name in WEIGHTS:
        (tmp_path / f"data/weights/{name}.safetensors").touch()
    assert list(problems(book, tests, CELLS)) == []
    for name in ("cifar10", "mnist"):
        (tmp_path / f"data/{name}.npz").touch()
    [line] = problems(book, tests, CELLS)
    assert line.startswith("skipped: tests.test_a test_three: needs the public weights")

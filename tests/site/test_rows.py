"""The rows of each recorded table as CSV beside the pages."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial import recorded, rows, write_book

from labkit.site.rows import write_rows


def app(root: Path, builder: str = "html") -> Any:
    return SimpleNamespace(builder=SimpleNamespace(name=builder), srcdir=str(root), outdir=str(root / "site"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    chapter = write_book(tmp_path)
    for seed in (0, 1):
        times = [{"arm": "A", "seconds": 1.5}, {"arm": "B, the other", "epochs": None, "of": 'a "b"'}]
        tables = {"R1": rows(0.5, 0.6 + seed / 10), "R4 time": times}
        recorded(chapter, seed, rows=tables).write(tmp_path / "results")
    recorded(chapter, 5, "smoke", rows={"R1": rows(0.0, 0.0)}).write(tmp_path / "results")
    return tmp_path


def test_a_csv_has_a_line_for_each_row_of_each_seed(root: Path) -> None:
    write_rows(app(root), None)
    folder = root / "site/_rows"
    assert sorted(path.name for path in folder.iterdir()) == ["p00-r1.csv", "p00-r4-time.csv"]
    assert (folder / "p00-r1.csv").read_text().splitlines() == [
        "seed,arm,accuracy",
        "0,A,0.5",
        "0,B,0.6",
        "1,A,0.5",
        "1,B,0.7",
    ]
    with (folder / "p00-r4-time.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 4
    assert found[3] == {"seed": "1", "arm": "B, the other", "seconds": "", "epochs": "", "of": 'a "b"'}


def test_there_is_none_of_a_build_that_failed_or_is_no_site(root: Path) -> None:
    write_rows(app(root), ValueError("a page failed"))
    write_rows(app(root, "latex"), None)
    assert not (root / "site").exists()

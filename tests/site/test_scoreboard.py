"""The front page and the page of recorded runs: made from the records, and again when they change."""

from __future__ import annotations

import re
from pathlib import Path

import plain_sphinx
import pytest
from labkit.lab.claims import Claim
from plain_sphinx import text_of, write_pages
from trial import HEADER

from labkit.chapters.chapter import Chapter
from labkit.lab.provenance import code_hashes
from labkit.lab.record import Record, sealed
from labkit.lab.report import Report, claim_anchor
from labkit.lab.standing import CodeState
from labkit.site import keys

ANCHORED, GONE = Claim("R1", "A beats B", 0.0, "points", ""), Claim("R2", "C < D & E", 0.0, "decades", "")

CHAPTER = f"""# A trial

```{{code-cell}}
from labkit.measure.intervals import mean_interval

mean_interval([1.0])
```

## Results

<span id="{claim_anchor(ANCHORED)}"></span>
"""


def write(book: Path, seed: int, effect: float, profile: str = "laptop") -> None:
    claims = [
        Claim(claim.row, claim.text, value, claim.unit, "")
        for claim, value in ((ANCHORED, effect), (GONE, (-1) ** seed * 2.0))
    ]
    Record(
        chapter="p00-trial",
        profile=profile,  # type: ignore[arg-type]
        seed=seed,
        parameters={"epochs": 0},
        data=[{"name": "shapes", "images": 9_000, "fingerprint": "abc", "differences": "nine copies"}],
        code=code_hashes(Chapter("p00-trial", book), profile),
        commit={"sha": "abcdef0123" * 4, "clean": True},
        versions={"python": "3.11.7", "torch": "2.13.0"},
        hardware={"cpu": "a processor", "threads": 2},
        seconds=612.0 + seed,
        peak_memory_mb=3900,
        claims=claims,
    ).write(book / "results")


def build(book: Path) -> tuple[set[str], str, str]:
    """Build; return the pages that were read again, and the text of the two pages, tags taken out."""
    code, read, errors = plain_sphinx.build(book)
    assert code == 0, errors
    return read, text_of(book, "intro"), text_of(book, "runs")


def html_of(book: Path, page: str) -> str:
    return (book / f"_build/html/book/{page}.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("board")
    write_pages(
        root,
        {
            "intro": "# Intro\n\n```{scoreboard}\n```",
            "p00-trial": HEADER + CHAPTER,
            "runs": "# Runs\n\n```{recorded-runs}\n```\n",
        },
    )
    (root / "book/plain.md").write_text("---\norphan: true\n---\n\n# Plain\n\nNo record enters here.\n")
    return root


def test_the_key_of_the_records_is_computed_once_a_build(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(keys, "digest", lambda parts: asked.extend(parts) or "1")
    for _ in range(2):  # both pages ask; the second time also whether they are outdated
        asked.clear()
        (book / "book/intro.md").touch()
        plain_sphinx.build(book)
        assert len([part for part in asked if "# A trial" in part]) == 1


def test_the_tables_follow_the_records(book: Path) -> None:
    _, board, runs = build(book)
    assert "No run is recorded yet." in board
    assert "No run is recorded yet." in runs

    # One seed: nothing is decided. The page without a directive is not read again.
    write(book, 0, 0.10)
    read, board, _ = build(book)
    assert read == {"book/intro", "book/runs", "book/p00-trial"}
    assert "p00 laptop 1 0 0 2" in board
    assert "R1 A beats B +10.0 points (one seed) ? undecided" in board

    write(book, 1, 0.11)
    write(book, 2, 0.12)
    write(book, 0, -0.2, profile="full")
    _, board, runs = build(book)
    assert "Chapter Seeds ✓ reproduced ✗ not reproduced ? undecided" in board
    # The larger profile comes first.
    assert "p00 full 1 0 0 2 p00 laptop 3 1 0 1" in board
    assert "R1 A beats B +11.0 [+8.5, +13.5] points ✓ reproduced" in board
    assert "R2 C < D & E" in board
    assert "Code: unchanged since." in board
    assert runs.count("a processor, 2 threads") == 4
    assert "2 10.2 min 3.9 GB float32 a processor, 2 threads abcdef01" in runs.replace("\u00a0", " ")
    assert runs.count("Libraries: python 3.11.7, torch 2.13.0.") == 2
    assert "Data: shapes, 9,000 images, fingerprint abc; nine copies." in runs

    # A claim leads to its row in the chapter, one that the chapter makes no more to the results.
    links = re.findall(r'href="(p00-trial\.html[^"]*)">(A beats|C &lt; D)', html_of(book, "intro"))
    row = f"p00-trial.html#{claim_anchor(ANCHORED)}"
    assert set(links) == {(row, "A beats"), ("p00-trial.html#results", "C &lt; D")}
    assert build(book)[0] == set()

    # The code that the records were made by changes: every page made from them says so.
    source = book / "book/p00-trial.md"
    source.write_text(source.read_text().replace("mean_interval", "Interval"))
    read, board, runs = build(book)
    assert {"book/intro", "book/runs"} <= read
    assert "p00 laptop , stale 3" in board
    assert "Code: stale, changed since: experiment." in runs

    for path in (book / "results").rglob("*.json"):
        path.unlink()
    assert "No run is recorded yet." in build(book)[1]


def test_a_damaged_record_stops_the_build_and_is_named(book: Path) -> None:
    path = book / "results/p00-trial/laptop/seed-4.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sealed({"schema": 1}))
    with pytest.raises(AssertionError, match=r"seed-4\.json is not a record"):
        build(book)
    path.unlink()


def test_each_claim_has_its_anchor_in_the_closing_table_alone() -> None:
    report = Report(Record("p00-trial", "smoke", 0, claims=[ANCHORED, GONE]), [], CodeState())
    anchors = [f'<span id="{claim_anchor(claim)}"' for claim in (ANCHORED, GONE)]
    assert anchors[0] != anchors[1]
    shown = report._repr_markdown_()
    assert [shown.count(anchor) for anchor in anchors] == [1, 1]
    assert "<span id" not in report.claims(["R1"])

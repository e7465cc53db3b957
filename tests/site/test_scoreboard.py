"""The front page and the page of recorded runs: made from the records, and again when they change."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import plain_sphinx
import pytest
from docutils import nodes
from docutils.utils import new_document
from plain_sphinx import text_of, write_pages
from trial import EXPERIMENT, PARAMETERS, cell, recorded, text_of_chapter

from labkit.chapters.chapter import Chapter
from labkit.lab.evidence import Evidence
from labkit.lab.record import Record, sealed
from labkit.lab.report import Report, claim_anchor
from labkit.lab.standing import CodeState
from labkit.profile import Profile
from labkit.site import keys
from labkit.site.directives.scoreboard import _in_short

CLAIMED = """
from labkit.lab.quantities import column

evidence = lab.evidence()
effect = column("R1", "effect", unit="points")
evidence.control("R1", "It runs", effect(of="control") > 0)
evidence.claim("R1", "A beats B", effect(of="A") > 0, primary=True)
evidence.claim("R2", "C < D & E", effect(of="C") > 0)
evidence.claim("R2", "F beats G", effect(of="F") > 0, primary=True, paper="F et al.: it does")
"""
CELLS = (PARAMETERS, cell(CLAIMED, "claims"), EXPERIMENT)


def anchor(text: str) -> str:
    [claim] = [claim for claim in evidence_of_trial().claims if claim.text == text]
    return claim_anchor(claim)


def evidence_of_trial() -> Evidence:
    evidence = Evidence()
    exec(CLAIMED, {"lab": SimpleNamespace(evidence=lambda: evidence)})
    return evidence


RESULTS = f"""## Results

<span id="{anchor("A beats B")}"></span>
"""


def write(book: Path, seed: int, effect: float, profile: Profile = "laptop") -> None:
    effects = {"control": 1.0 + seed, "A": effect, "C": (-1) ** seed * 2.0, "F": -effect}
    made = recorded(
        Chapter("p00-trial", book),
        seed,
        profile,
        data=[{"name": "shapes", "images": 9_000, "fingerprint": "abc", "differences": "nine copies"}],
        seconds=612.0 + seed,
        peak_memory_mb=3900,
        rows={"R1": [{"of": name, "effect": value} for name, value in effects.items()]},
    )
    made.write(book / "results")


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
    chapter = text_of_chapter(*CELLS, RESULTS).removeprefix("---\n")
    write_pages(
        root,
        {
            "intro": "# Intro\n\n```{chapters}\n```\n\n```{scoreboard}\n```",
            "p00-trial": f"---\nquestion: Does it beat?\n{chapter}",
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
    assert "p00 A trial Does it beat? not yet recorded No run is recorded yet." in board
    assert "No run is recorded yet." in runs

    # One seed: nothing is decided. The page without a directive is not read again.
    write(book, 0, 0.10)
    read, board, _ = build(book)
    assert read == {"book/intro", "book/runs", "book/p00-trial"}
    assert "Chapter Seeds ? undecided p00 laptop 1 2" in board
    board = board.replace("\u00a0", " ")
    assert "? undecided A beats B. R1 (primary): +10.0 points (one seed)" in board

    write(book, 1, 0.11)
    write(book, 2, 0.12)
    write(book, 0, 0.2, profile="full")
    _, board, runs = build(book)
    # The primary claims are counted, and of the verdicts those that there are.
    assert "Chapter Seeds ✓ supported ✗ not reproduced ? undecided" in board
    # The larger profile comes first.
    assert "p00 full 1 0 0 2 p00 laptop 3 1 1 0" in board
    claims = board.partition("p00 laptop, claim by claim")[2].replace("\u00a0", " ")
    assert "✓ supported A beats B. R1 (primary): +11.0 [+7.4, +14.6] points" in claims
    assert "✗ not reproduced F beats G. R2 (primary): -11.0 [-13.5, -8.5] points" in claims
    assert "? undecided C < D & E. R2: " in claims
    assert "It runs" not in board
    # The card has the primary claims of the largest profile, and what a seed of it cost.
    assert "p00 A trial Does it beat? 2 undecided full, 1 seed of 10 minutes" in board
    assert "Code: unchanged since." in board
    assert runs.count("a processor, 2 threads") == 4
    assert "2 10.2 min 3.9 GB float32 a processor, 2 threads abcdef01" in runs.replace("\u00a0", " ")
    assert runs.count("Libraries: python 3.11.7, torch 2.13.0.") == 2
    assert "Data: shapes, 9,000 images, fingerprint abc; nine copies." in runs

    # A claim leads to its place in the chapter, one that the chapter does not show to the results.
    links = re.findall(r'href="(p00-trial\.html[^"]*)">(A beats|C &lt; D)', html_of(book, "intro"))
    row = f"p00-trial.html#{anchor('A beats B')}"
    assert set(links) == {(row, "A beats"), ("p00-trial.html#results", "C &lt; D")}
    assert build(book)[0] == set()

    # The code that the records were made by changes: every page made from them says so.
    source = book / "book/p00-trial.md"
    source.write_text(source.read_text().replace("mean_interval([", "max(["))
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


def test_each_claim_has_its_anchor_where_it_is_shown() -> None:
    report = Report(evidence_of_trial(), Record("p00-trial", "smoke", 0), [], CodeState())
    anchors = [f'<span id="{anchor(text)}"' for text in ("A beats B", "F beats G")]
    assert anchors[0] != anchors[1]
    assert [report.claims(["R1"]).count(anchor) for anchor in anchors] == [1, 0]
    assert [report.claims().count(anchor) for anchor in anchors] == [1, 1]
    assert "<span id" not in report._repr_markdown_()


def test_a_card_has_the_picture_and_the_answer_of_the_first_screen() -> None:
    page = new_document("a page")
    answer = nodes.paragraph("", "", nodes.strong(text="In short."))
    for text in ('<span class="lk-answer">', "It helps & ", "more", "</span>", "The rest."):
        answer += nodes.raw("", text, format="html") if text[0] == "<" else nodes.Text(text)
    figure = nodes.raw("", '<figure><svg role="img" id="x"><path/></svg></figure>', format="html")
    cell = nodes.container("", answer, nodes.raw("", "<b>other</b>", format="html"), figure)
    page += nodes.container("", nodes.raw("", "<svg role='no'></svg>", format="html"), classes=["cell"])
    assert _in_short(page) == ("", "")
    cell["classes"] = ["cell", "tag_in-short"]
    page += cell
    assert _in_short(page) == ('<svg aria-hidden="true" id="x"><path/></svg>', "It helps &amp; more")

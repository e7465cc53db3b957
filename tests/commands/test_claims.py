"""`labkit claims`: what recorded runs say of each claim, for people and as JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from trial import PARAMETERS, cell, recorded, rows, write_book

from labkit.chapters.chapter import Chapter
from labkit.commands.main import main


@pytest.fixture
def chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    monkeypatch.chdir(tmp_path)
    return write_book(tmp_path)


def record(chapter: Chapter, seed: int, gain: float) -> None:
    recorded(chapter, seed, rows={"R1": rows(0.5, 0.5 + gain)}).write(chapter.root / "results")


def claims(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["claims", *arguments])


def entries(*arguments: str) -> list[dict[str, Any]]:
    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    result = claims("--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.output, parse_constant=refused)


def test_each_claim_is_a_line(chapter: Chapter) -> None:
    for seed, gain in enumerate((0.1, 0.11, 0.12)):
        record(chapter, seed, gain)
    assert claims("p00").output.splitlines() == [
        "p00 laptop R1: supported: A learns (50.0\u00a0%) control",
        "p00 laptop R1: supported: B beats A (+11.0 [+8.5, +13.5]\u00a0points) primary",
        "p00 laptop R1: supported: B is right more often than not (61.0 [58.5, 63.5]\u00a0%)",
    ]
    assert claims().output == claims("p00", "p00-trial").output


def test_only_the_chapters_that_are_named_are_told_of(chapter: Chapter) -> None:
    other = Chapter("p01-other", chapter.root)
    other.source.write_text(chapter.source.read_text())
    with (chapter.root / "_toc.yml").open("a") as toc:
        toc.write("- file: book/p01-other\n")
    for each in (chapter, other):
        record(each, 0, 0.1)
    assert [line[:3] for line in claims("p01").output.splitlines()] == ["p01"] * 3
    assert [line[:3] for line in claims().output.splitlines()] == ["p00"] * 3 + ["p01"] * 3
    assert {entry["chapter"] for entry in entries("p00")} == {"p00-trial"}


def test_json_has_every_field_with_shares_in_0_to_1(chapter: Chapter) -> None:
    for seed, gain in enumerate((0.1, 0.11, 0.12)):
        record(chapter, seed, gain)
    control, better, _ = entries("p00")
    effect = {name: better.pop(name) for name in ("effect", "low", "high", "p")}
    # t(0.975, 2) = 4.302653; of 0.01 over three seeds.
    half = 4.302653 * 0.01 / 3**0.5
    assert effect == pytest.approx(
        {"effect": 0.11, "low": 0.11 - half, "high": 0.11 + half, "p": 0.002743}, rel=1e-3
    )
    assert better == {
        "chapter": "p00-trial",
        "profile": "laptop",
        "row": "R1",
        "text": "B beats A",
        "statement": "(R1: accuracy[arm = B] - R1: accuracy[arm = A]) > 0, within 0.01, primary, "
        "needs (R1: accuracy[arm = A] > 0.4, control)",
        "primary": True,
        "control": False,
        "verdict": "supported",
        "word": "supported",
        "unit": "points",
        "threshold": 0.0,
        "level": 0.05,
        "within": 0.01,
        "paper": "",
        "seeds": [0, 1, 2],
        "added": False,
    }
    assert (control["control"], control["unit"], control["effect"]) == (True, "%", 0.5)


def test_what_one_seed_does_not_tell_is_null(chapter: Chapter) -> None:
    record(chapter, 0, 0.1)
    better = entries()[1]
    assert (better["low"], better["high"], better["p"]) == (None, None, 1.0)
    assert (better["effect"], better["verdict"]) == (pytest.approx(0.1), "not testable")


def test_an_interval_without_end_is_null(chapter: Chapter) -> None:
    ratio = """
from labkit.lab.quantities import column

accuracy = column("R1", "accuracy")
lab.evidence().claim("R1", "B is above A", accuracy(arm="B") / accuracy(arm="A") > 1)
"""
    write_book(chapter.root, PARAMETERS, cell(ratio, "claims"))
    for seed, b in enumerate((1e-100, 1e100)):
        recorded(chapter, seed, rows={"R1": rows(1e-20, b)}).write(chapter.root / "results")
    [found] = entries()
    assert (found["high"], found["unit"]) == (None, "times")


def test_without_records_there_is_nothing_to_tell(chapter: Chapter) -> None:
    assert claims().output == "nothing that these chapters claim is recorded: p00\n"
    assert entries() == []


@pytest.mark.parametrize("arguments", [["p99"], ["p99", "--json"]])
def test_an_unknown_chapter_is_one_line(chapter: Chapter, arguments: list[str]) -> None:
    result = claims(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: unknown chapter 'p99'; the book has: p00-trial\n"


def test_a_cell_that_fails_and_a_damaged_record_are_one_line(chapter: Chapter) -> None:
    record(chapter, 0, 0.1)
    write_book(chapter.root, PARAMETERS, cell("1 / 0", "claims"))
    result = claims()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ("Error: the claims cell of p00-trial.md: ZeroDivisionError: division by zero\n")
    (chapter.root / "results/p00-trial/laptop/seed-0.json").write_text("{")
    result = claims()
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "seed-0.json is not a record" in result.stderr
    assert result.stderr.count("\n") == 1

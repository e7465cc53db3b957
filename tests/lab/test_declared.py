"""The claims of a chapter without a run: its claims cell, executed alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from trial import CLAIMED, CLAIMS, EXPERIMENT, PARAMETERS, cell, write_book

from labkit.errors import LabkitError
from labkit.lab.declared import evidence_of


def test_the_cell_runs_alone_and_names_all_claims(tmp_path: Path) -> None:
    broken = cell("raise AssertionError('no other cell runs')")
    evidence = evidence_of(write_book(tmp_path, PARAMETERS, broken, CLAIMS, broken))
    assert [claim.text for claim in evidence.claims] == [
        "A learns",
        "B beats A",
        "B is right more often than not",
    ]
    assert [number.name for number in evidence.numbers] == ["accuracy of A"]


def test_a_chapter_without_the_cell_claims_nothing(tmp_path: Path) -> None:
    assert evidence_of(write_book(tmp_path, PARAMETERS, EXPERIMENT)).claims == []


def claims(source: str) -> str:
    return cell(source, "claims")


FAILING = {
    "two": ((CLAIMS, CLAIMS), "p00-trial.md has 2 cells tagged claims; allowed: one"),
    "another name": (
        (PARAMETERS, claims("from labkit.lab.quantities import column\n\ncolumn('R1', seed)")),
        "the claims cell of p00-trial.md: NameError: name 'seed' is not defined",
    ),
    "another way of the lab": (
        (claims("lab.record('R1', [])"),),
        "the claims cell of p00-trial.md: AttributeError: .* has no attribute 'record'",
    ),
    "no Python": ((claims("evidence = ("),), "the claims cell of p00-trial.md: SyntaxError: .*"),
    "fails": ((claims(f"{CLAIMED}\n1 / 0"),), "the claims cell of p00-trial.md: ZeroDivisionError: .*"),
    "refused": (
        (claims(f"{CLAIMED}\nevidence.control('R1', 'A learns', accuracy() > 0)"),),
        "the claims cell of p00-trial.md: LabkitError: the claim 'A learns' is made twice",
    ),
}


@pytest.mark.parametrize("what", FAILING)
def test_what_is_wrong_with_the_cell_is_one_clear_line(tmp_path: Path, what: str) -> None:
    cells, message = FAILING[what]
    with pytest.raises(LabkitError, match=f"^{message}$"):
        evidence_of(write_book(tmp_path, *cells))

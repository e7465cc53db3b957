"""How often chapters claim what is not so: the verdicts of whole chapters on rows made by chance alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from labkit.lab.evidence import Evidence, Judgement
from labkit.lab.quantities import Statement, column, each
from labkit.lab.record import Record

SEEDS, MARGIN, FACTOR = 8, 0.1, math.exp(0.1)
A, B, C, D = (column("R1", name)() for name in "abcd")
ONE, TWO, THREE = (column("R2", name, unit="")() for name in "abc")
Y, Z = (column("R3", name, unit="").slope("x", per="step") for name in "yz")


def at_most(share: float, chapters: int) -> float:
    """Return three standard errors of what so many chapters tell above `share`."""
    return share + 3 * math.sqrt(share * (1 - share) / chapters)


def chapters(number: int, truth: float, noise: float) -> Iterator[list[Record]]:
    """Yield the records of chapters: A - B, D - C, log ONE / TWO and both slopes are truly `truth`."""
    chance = np.random.default_rng(0)
    # The arms of a seed share its luck.
    luck, own = chance.normal(size=(number, SEEDS, 3, 1)), chance.normal(size=(number, SEEDS, 3, 4))
    drawn = noise * (0.5 * luck + own) + truth * np.array([[1, 0, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
    drawn[:, :, 1] = np.exp(drawn[:, :, 1])
    for chapter in drawn.tolist():
        tables = (
            {
                "R1": [dict(zip("abcd", shares, strict=True))],
                "R2": [dict(zip("abcd", losses, strict=True))],
                "R3": [{"x": 0, "y": y, "z": z}, {"x": 1, "y": later_y, "z": later_z}],
            }
            for shares, losses, (y, later_y, z, later_z) in chapter
        )
        yield [Record("p00-trial", "laptop", seed, rows=rows) for seed, rows in enumerate(tables)]


def judged(
    statements: dict[Statement, float | None], made: Iterator[list[Record]]
) -> Iterator[list[Judgement]]:
    """Yield the judgements of each chapter that claims eight statements, with these margins, as primary."""
    evidence = Evidence()
    for number, (statement, within) in enumerate(statements.items()):
        evidence.claim("R1", f"claim {number}", statement, primary=True, within=within)
    assert len(evidence.claims) == 8
    for records in made:
        yield list(evidence.judge(records).values())


def test_of_chapters_without_any_effect_one_in_twenty_finds_one() -> None:
    statements = [
        A - B > 0,
        C - D < 0,
        each([A - C > 0, A - D > 0]),
        each([C - B > 0, D - B > 0]),
        ONE / TWO > 1,
        THREE / ONE < 1,
        Y > 0,
        Z < 0,
    ]
    number = 10_000
    found = sum(
        any(judgement.verdict in ("supported", "contradicted") for judgement in chapter)
        for chapter in judged(dict.fromkeys(statements), chapters(number, 0.0, 0.3))
    )
    assert 0.02 < found / number <= at_most(0.05, number)


def test_of_chapters_whose_effects_are_at_the_margin_one_in_twenty_calls_one_nothing() -> None:
    statements: dict[Statement, float | None] = {
        A - B > 0: MARGIN,
        abs(D - C) < MARGIN: None,
        each([A - C > 0, D - B > 0]): MARGIN,
        each([abs(A - B) < MARGIN, abs(D - C) < MARGIN]): None,
        ONE / TWO > 1: FACTOR,
        abs(THREE / TWO) < FACTOR: None,
        Y > 0: MARGIN,
        abs(Z) < MARGIN: None,
    }
    number = 3_000
    called = [
        any(
            judgement.verdict == "no difference"
            or (judgement.verdict == "supported" and judgement.contrast.relation == "within")
            for judgement in chapter
        )
        for chapter in judged(statements, chapters(number, MARGIN, 0.05))
    ]
    assert 0.005 < sum(called) / number <= at_most(0.05, number)

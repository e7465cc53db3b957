"""Claims: sentences a chapter checks, and what several seeds say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from labkit.measure.intervals import Interval, mean_interval

Verdict = Literal["reproduced", "not reproduced", "undecided"]


@dataclass(frozen=True)
class Claim:
    """A comparative sentence and its effect in one run: the claim says that `effect` is positive.

    `row` is the requirement of the chapter that it belongs to, `unit` that of the effect, and `paper` what
    the source reports, empty where it reports nothing.
    """

    row: str
    text: str
    effect: float
    unit: str
    paper: str


@dataclass(frozen=True)
class Judgement:
    """A claim over several runs: the mean effect, its 95 % interval, and the verdict."""

    claim: Claim
    effect: Interval
    verdict: Verdict


def judge(claims: Sequence[Claim]) -> Judgement:
    """Return what the same claim, taken from several runs, amounts to.

    Reproduced where the whole 95 % interval of the effect is above zero, not reproduced where none of it
    is, undecided otherwise, and always from a single run: one seed cannot tell an effect from luck.
    """
    interval = mean_interval([claim.effect for claim in claims])
    verdict: Verdict = "undecided"
    if interval.low > 0:
        verdict = "reproduced"
    elif interval.high <= 0:
        verdict = "not reproduced"
    return Judgement(claims[0], interval, verdict)

"""Claims: sentences that a chapter names before its runs, and what the records say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from labkit.errors import LabkitError
from labkit.lab.quantities import Contrast, Missing, Quantity, Statement, Tables
from labkit.lab.record import Record
from labkit.measure.decisions import above, below, holm, inside
from labkit.measure.intervals import Interval

Verdict = Literal["supported", "contradicted", "no difference", "undecided", "not testable"]
Word = Literal[
    "supported", "contradicted", "no difference", "undecided", "not testable", "reproduced", "not reproduced"
]
MOST_PRIMARY = 8
LEVEL = 0.05
# Beside a statement of a paper: that this experiment finds it, or finds something else.
OF_PAPERS: dict[Verdict, Word] = {
    "supported": "reproduced",
    "contradicted": "not reproduced",
    "no difference": "not reproduced",
}


@dataclass(frozen=True, eq=False)
class Claim:
    """A sentence about a statement, for the requirement `row`.

    `within` is the margin inside which its effects count as none, `needs` are the controls without which it
    cannot be tested, `paper` is what a source was seen to report.
    """

    row: str
    text: str
    statement: Statement
    within: float | None = None
    primary: bool = False
    needs: tuple[Claim, ...] = ()
    paper: str = ""
    control: bool = False

    @property
    def identity(self) -> str:
        """What was claimed, but not in which words: kept by each record that is made while it is claimed."""
        stated = " and ".join(contrast.name for contrast in self.statement.contrasts)
        margin = "" if self.within is None else f", within {self.within:g}"
        kind = ", control" if self.control else ", primary" if self.primary else ""
        needs = "".join(f", needs ({control.identity})" for control in self.needs)
        return f"{stated}{margin}{kind}{needs}"


@dataclass(frozen=True)
class Number:
    """A measured quantity of the requirement `row`, in the table of what was measured."""

    row: str
    name: str
    quantity: Quantity
    paper: str


@dataclass(frozen=True)
class Judgement:
    """What records say of a claim: `contrast` is the one of its contrasts that decided.

    `effect` is its mean with the interval of confidence 1 - `level`; `added` says that some record was made
    before the claim was.
    """

    claim: Claim
    contrast: Contrast
    effect: Interval
    p: float
    level: float
    verdict: Verdict
    added: bool

    @property
    def word(self) -> Word:
        """The verdict, as it is called beside a paper's statement where there is one."""
        return OF_PAPERS.get(self.verdict, self.verdict) if self.claim.paper else self.verdict

    @property
    def text(self) -> str:
        """The effect as text."""
        told = self.contrast.effect.text(self.effect, signed=self.contrast.relation != "within")
        return f"{told} (one seed)" if self.effect.n == 1 else told

    def entry(self, chapter: str, profile: str, seeds: Sequence[int]) -> dict[str, Any]:
        """Return the judgement as JSON: what `labkit claims --json` prints, ends not finite as None."""
        low, high = (end if math.isfinite(end) else None for end in (self.effect.low, self.effect.high))
        return {
            "chapter": chapter,
            "profile": profile,
            "row": self.claim.row,
            "text": self.claim.text,
            "statement": self.claim.identity,
            "primary": self.claim.primary,
            "control": self.claim.control,
            "verdict": self.verdict,
            "word": self.word,
            "effect": self.effect.mean,
            "low": low,
            "high": high,
            "unit": self.contrast.effect.unit,
            "threshold": self.contrast.bound,
            "p": self.p,
            "level": self.level,
            "within": self.claim.within,
            "paper": self.claim.paper,
            "seeds": list(seeds),
            "added": self.added,
        }


class Evidence:
    """The claims, controls and quoted numbers of a chapter, all functions of recorded rows."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.numbers: list[Number] = []

    def claim(
        self,
        row: str,
        text: str,
        statement: Statement,
        *,
        within: float | None = None,
        primary: bool = False,
        needs: Sequence[Claim] = (),
        paper: str = "",
    ) -> Claim:
        """Claim `statement`; `text` is a sentence that says the same and can be false.

        With `within`, a margin in the unit of the effect (a factor for quotients), the verdict can be *no
        difference*. The `primary` claims, at most eight, are what the chapter is for: they are corrected for
        their number. Raises LabkitError for a ninth, for a sentence that was claimed already, and for a
        margin or threshold that means nothing.
        """
        return self._add(Claim(row, text, statement, within, primary, tuple(needs), paper))

    def control(self, row: str, text: str, statement: Statement) -> Claim:
        """State what must hold if this size can show anything; claims that need it fall with it."""
        return self._add(Claim(row, text, statement, control=True))

    def number(self, row: str, name: str, quantity: Quantity, *, paper: str = "") -> None:
        """Name a quantity for the table of measured numbers; `paper` is what a source was seen to report."""
        if any(number.name == name for number in self.numbers):
            raise LabkitError(f"there are two numbers called {name!r}")
        self.numbers.append(Number(row, name, quantity, paper))

    def _add(self, claim: Claim) -> Claim:
        if any(other.text == claim.text for other in self.claims):
            raise LabkitError(f"the claim {claim.text!r} is made twice")
        if claim.primary and sum(other.primary for other in self.claims) == MOST_PRIMARY:
            raise LabkitError(f"more than {MOST_PRIMARY} primary claims: {claim.text!r} is one too many")
        if not all(control.control for control in claim.needs):
            raise LabkitError(f"the claim {claim.text!r} needs what is no control")
        for contrast in claim.statement.contrasts:
            nothing = 1.0 if contrast.effect.ratio else 0.0
            margins = [claim.within, contrast.bound if contrast.relation == "within" else None]
            if any(margin is not None and margin <= nothing for margin in margins):
                raise LabkitError(f"the claim {claim.text!r} has a margin that is not above {nothing:g}")
            if contrast.effect.ratio and contrast.bound <= 0:
                raise LabkitError(f"the claim {claim.text!r} compares a quotient with {contrast.bound:g}")
        self.claims.append(claim)
        return claim

    def judge(self, records: Sequence[Record]) -> dict[Claim, Judgement]:
        """Return what `records`, one a seed, say of each claim but those whose rows one of them lacks.

        All primary claims count in the correction, those left out as well.
        """
        found: dict[Claim, _Weighed] = {}
        for claim in self.claims if records else ():
            with suppress(Missing):
                found[claim] = _weighed(claim, [record.rows for record in records])
        primary = [claim for claim in self.claims if claim.primary]
        p_values = [found[claim].p if claim in found else 1.0 for claim in primary]
        levels = dict(zip(primary, holm(p_values, LEVEL), strict=True))
        judged: dict[Claim, Judgement] = {}
        for claim in sorted(found, key=lambda claim: not claim.control):  # controls decide first
            added = any(claim.identity not in record.claims for record in records)
            failed = any(
                control not in judged or judged[control].verdict != "supported" for control in claim.needs
            )
            judged[claim] = found[claim].judged(levels.get(claim, LEVEL), added=added, failed=failed)
        return {claim: judged[claim] for claim in self.claims if claim in judged}

    def missing(self, record: Record) -> list[str]:
        """Return a line for each claim and number whose rows `record` does not have."""
        found = []
        for claim in self.claims:
            try:
                _weighed(claim, [record.rows])
            except Missing as error:
                found.append(f"{claim.text}: {error}")
        for number in self.numbers:
            try:
                number.quantity.value(record.rows)
            except Missing as error:
                found.append(f"{number.name}: {error}")
        return found


@dataclass(frozen=True)
class _Weighed:
    """A claim with the values of its effects, and two-sided p values for what may be said of it."""

    claim: Claim
    values: Sequence[Sequence[float]]  # of each contrast
    holds: Sequence[float]
    fails: Sequence[float]
    nothing: float

    @property
    def p(self) -> float:
        """The p value of whatever can be said, one way or the other: all contrasts hold, or one fails."""
        return min(1.0, max(self.holds), len(self.fails) * min(self.fails))

    def judged(self, level: float, *, added: bool, failed: bool) -> Judgement:
        """Return the verdict at `level`; `failed` says that a control did not hold."""
        weakest = max(range(len(self.holds)), key=self.holds.__getitem__)
        verdict: Verdict = "undecided"
        if failed:
            verdict = "not testable"
        elif max(self.holds) <= level:
            verdict = "supported"
        elif len(self.fails) * min(self.fails) <= level:
            verdict = "contradicted"
            weakest = min(range(len(self.fails)), key=self.fails.__getitem__)
        elif self.nothing <= level:
            verdict = "no difference"
        contrast = self.claim.statement.contrasts[weakest]
        effect = contrast.effect.mean(self.values[weakest], level)
        return Judgement(self.claim, contrast, effect, self.p, level, verdict, added)


def _weighed(claim: Claim, tables: Sequence[Tables]) -> _Weighed:
    values, holds, fails, nothing = [], [], [], 0.0
    for contrast in claim.statement.contrasts:
        raw = contrast.effect.values(tables)
        values.append(raw)
        # A ratio of 1 is nothing, its bounds are factors.
        x = contrast.effect.judged(raw)
        [bound] = contrast.effect.judged([contrast.bound])
        match contrast.relation:
            case ">":
                holds.append(2 * above(x, bound))
                fails.append(2 * below(x, bound))
            case "<":
                holds.append(2 * below(x, bound))
                fails.append(2 * above(x, bound))
            case "within":
                holds.append(2 * inside(x, bound))
                fails.append(2 * min(above(x, bound), below(x, -bound)))
        if claim.within is not None:
            [margin] = contrast.effect.judged([claim.within])
            nothing = max(nothing, 2 * inside(x, margin))
    return _Weighed(claim, values, holds, fails, nothing if claim.within is not None else 1.0)

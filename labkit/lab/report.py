"""The table every chapter ends in: paper, recorded, this run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from labkit.errors import LabkitError
from labkit.lab.claims import Claim, Judgement, judge
from labkit.lab.record import Number, Record, with_interval
from labkit.lab.standing import CodeState
from labkit.measure.intervals import Interval, mean_interval
from labkit.source.meaning import digest


@dataclass(frozen=True)
class Report:
    """What this run and the recorded ones measured; displays itself as Markdown."""

    record: Record
    recorded: Sequence[Record]
    code: CodeState
    not_yet_run: str = ""  # a profile larger than the recorded one, of which there is a rehearsal

    def quote(self, name: str) -> str:
        """Return the number `name` as text: recorded with its interval, else this run's, marked so.

        Raises LabkitError naming the numbers there are.
        """
        if recorded := _mean(self._recorded_numbers(name)):
            return recorded
        for number in self.record.numbers:
            if number.name == name:
                return f"{number.show()} (this run)"
        names = ", ".join(repr(number.name) for number in self.record.numbers)
        raise LabkitError(f"{self.record.chapter}: no number is called {name!r}; there are {names}")

    def judgements(self) -> list[tuple[Claim, Judgement | None]]:
        """Return each claim of this run with what the recorded runs say of it, None where none made it."""
        judged = []
        for new in self.record.claims:
            made = [claim for old in self.recorded for claim in old.claims if claim.text == new.text]
            judged.append((new, judge(made) if made else None))
        return judged

    def claims(self, rows: Collection[str] = (), *, anchors: bool = False) -> str:
        """Return the claims of `rows` (all by default) as a Markdown table: effect, verdict, this run.

        With `anchors`, links can lead to each claim: for the one table of a page that shows them all.
        """
        lines = ["| | claim | paper | recorded effect | verdict | this run |", "|---|---|---|---|---|---|"]
        for claim, judgement in self.judgements():
            if rows and claim.row not in rows:
                continue
            effect, verdict = (
                (effect_text(judgement), f"**{judgement.verdict}**") if judgement else ("–", "–")
            )
            here = f"{_signed(claim, claim.effect)}, {'holds' if claim.effect > 0 else 'does not hold'}"
            name = f'id="{claim_anchor(claim)}" ' if anchors else ""
            text, paper = f'<span {name}class="lk-claim">{claim.text}</span>', claim.paper or "–"
            lines.append(f"| {claim.row} | {text} | {paper} | {effect} | {verdict} | {here} |")
        return "\n".join(lines)

    def numbers(self) -> str:
        """Return all numbers as a Markdown table: paper, recorded mean with its 95 % interval, this run."""
        lines = ["| | measured | paper | recorded | this run |", "|---|---|---|---|---|"]
        for number in self.record.numbers:
            recorded = _mean(self._recorded_numbers(number.name)) or "–"
            lines.append(
                f"| {number.row} | {number.name} | {number.paper or '–'} | {recorded} | {number.show()} |"
            )
        return "\n".join(lines)

    def provenance(self) -> str:
        """Return what the recorded runs were made of, what has changed since, and what was only rehearsed."""
        rehearsed = f"\n\nProfile {self.not_yet_run}." if self.not_yet_run else ""
        if not self.recorded:
            return "No run of this chapter is recorded yet: the last column is all there is." + rehearsed
        first, seeds = self.recorded[0], ", ".join(str(record.seed) for record in self.recorded)
        data = "; ".join(f"{part['name']} ({part['differences'] or 'as published'})" for part in first.data)
        minutes = mean_interval([record.seconds for record in self.recorded]).mean / 60
        text = (
            f"Recorded: profile `{first.profile}`, seeds {seeds}, {minutes:.0f} minutes a seed "
            f"on {first.machine}, {first.precision}, torch {first.versions['torch']}, "
            f"commit `{first.commit.get('sha', '')[:8]}`. Data: {data}."
        )
        if first.weights:
            networks = "; ".join(f"{part['name']} (licence: {part['licence']})" for part in first.weights)
            text += f" Pretrained networks: {networks}."
        if self.code.changed:
            text += f"\n\nCode: **{self.code.word}**, {self.code.sentence.removeprefix('stale, ')}."
        return text + rehearsed

    def _repr_markdown_(self) -> str:
        return "\n\n".join((self.provenance(), self.numbers(), self.claims(anchors=True)))

    def _recorded_numbers(self, name: str) -> list[Number]:
        return [number for old in self.recorded for number in old.numbers if number.name == name]


def claim_anchor(claim: Claim) -> str:
    """Return the id that a claim has in the results table of its chapter."""
    return f"claim-{digest([claim.text])[:8]}"


def _mean(numbers: Sequence[Number]) -> str:
    if not numbers:
        return ""
    values = _known(mean_interval([number.value for number in numbers]))
    if numbers[0].unit == "%":  # a share cannot leave 0..1, and so its interval need not
        values = tuple(min(max(value, 0.0), 1.0) for value in values)
    return numbers[0].show(*values)


def effect_text(judgement: Judgement) -> str:
    """Return the mean effect with its unit and, over several seeds, its 95 % interval."""
    text = _signed(judgement.claim, *_known(judgement.effect))
    return f"{text} (one seed)" if judgement.effect.n == 1 else text


def _known(interval: Interval) -> tuple[float, ...]:
    """Return the mean, with the ends of the interval where there are several runs."""
    return (interval.mean,) if interval.n == 1 else (interval.mean, interval.low, interval.high)


def _signed(claim: Claim, *values: float) -> str:
    return with_interval(values, 100 if claim.unit == "points" else 1, claim.unit, sign="+")

"""What a run and the recorded ones found: provenance, verdicts, measured numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from labkit.lab.evidence import Claim, Evidence, Judgement
from labkit.lab.quantities import Missing, Quantity
from labkit.lab.record import Record
from labkit.lab.standing import CodeState
from labkit.measure.intervals import mean_interval
from labkit.source.meaning import digest

# A sign for each verdict; the colour, which a page's style gives in each theme, only comes on top.
SIGNS: dict[str, str] = {
    "supported": "✓",
    "reproduced": "✓",
    "no difference": "=",
    "contradicted": "✗",
    "not reproduced": "✗",
    "undecided": "?",
    "not testable": "–",
}


@dataclass(frozen=True)
class Report:
    """What this run and the recorded ones say of claims and numbers; shows itself as Markdown."""

    evidence: Evidence
    record: Record
    recorded: Sequence[Record]
    code: CodeState
    not_yet_run: str = ""  # a profile larger than the recorded one, of which there is a rehearsal
    on_page: bool = False

    @cached_property
    def judged(self) -> dict[Claim, Judgement]:
        """What the recorded runs say of each claim."""
        return self.evidence.judge(self.recorded)

    def quote(self, quantity: Quantity) -> str:
        """Return the mean of `quantity` as text: recorded on a page, in a notebook this run's first."""
        own, recorded = _mean(quantity, [self.record]), _mean(quantity, self.recorded)
        if self.on_page and recorded:
            return recorded
        return f"{own or '–'} (this run{'; recorded: ' * bool(recorded)}{recorded})"

    def claims(self, rows: Collection[str] = ()) -> str:
        """Return the claims of `rows` (all by default) as a Markdown list, primary first, controls last."""
        chosen = [claim for claim in self.evidence.claims if not rows or claim.row in rows]
        chosen.sort(key=lambda claim: (claim.control, not claim.primary))
        items = "\n".join(map(self._item, chosen))
        return f'<div class="lk-claims">\n\n{items}\n\n</div>'

    def _item(self, claim: Claim) -> str:
        judgement = self.judged.get(claim)
        word = judgement.word if judgement else "not recorded"
        kind = " *(control)*" if claim.control else " *(primary)*" if claim.primary else ""
        here = "" if self.on_page else effects_in(self.record, claim)
        notes = [*(_notes(judgement) if judgement else []), *([f"this run: {here}"] if here else [])]
        if claim.paper:
            notes.append(f"the paper: {claim.paper}")
        told = f"<br>{' · '.join(notes)}" if notes else ""
        stated = f'<span id="{claim_anchor(claim)}" class="lk-claim">{verdict(word)} {claim.text}.</span>'
        return f"- {stated}{kind}{told}"

    def counts(self) -> str:
        """Return how many primary claims, and how many of the others, got which verdict."""
        told = []
        for name, primary in (("primary claims", True), ("also looked at", False)):
            words: Counter[str] = Counter(
                judgement.word
                for claim, judgement in self.judged.items()
                if claim.primary is primary and not claim.control
            )
            if words:
                each = ", ".join(f"{words[word]} {word}" for word in SIGNS if words[word])
                told.append(f"{name}: {each}")
        return "; ".join(told)

    def numbers(self) -> str:
        """Return all numbers as a Markdown table: paper, recorded mean with its 95 % interval, this run."""
        own = not self.on_page or not self.recorded
        lines = [
            f"| | measured | paper | recorded |{' this run |' * own}",
            f"|---|---|---|---|{'---|' * own}",
        ]
        for number in self.evidence.numbers:
            recorded = _mean(number.quantity, self.recorded, interval=True) or "–"
            here = f" {_mean(number.quantity, [self.record]) or '–'} |" * own
            lines.append(f"| {number.row} | {number.name} | {number.paper or '–'} | {recorded} |{here}")
        return "\n".join(lines)

    def provenance(self) -> str:
        """Return what the recorded runs were made of, what has changed since, and what was only rehearsed."""
        rehearsed = f"\n\nProfile {self.not_yet_run}." if self.not_yet_run else ""
        if not self.recorded:
            return "No run of this chapter is recorded yet: this run is all there is." + rehearsed
        first = self.recorded[0]
        data = "; ".join(f"{part['name']} ({part['differences'] or 'as published'})" for part in first.data)
        text = f"Recorded: profile `{first.profile}`, {self._made()}. Data: {data}."
        if first.weights:
            networks = "; ".join(f"{part['name']} (licence: {part['licence']})" for part in first.weights)
            text += f" Pretrained networks: {networks}."
        if self.code.changed:
            text += f"\n\nCode: **{self.code.word}**, {self.code.sentence.removeprefix('stale, ')}."
        return text + rehearsed

    def _made(self) -> str:
        """Return seeds, minutes and what they were made on and of, apart where that differs."""
        groups: dict[str, list[Record]] = {}
        for record in self.recorded:
            made = (
                f"{record.machine}, {record.precision}, torch {record.versions['torch']}, "
                f"commit `{record.commit.get('sha', '')[:8]}`"
            )
            groups.setdefault(made, []).append(record)
        told = []
        for made, group in groups.items():
            seeds = ", ".join(str(record.seed) for record in group)
            told.append(f"seeds {seeds}, {_minutes(group):.0f} minutes each on {made}")
        return "; ".join(told)

    def minutes(self) -> float:
        """Return the minutes of a recorded seed, their mean."""
        return _minutes(self.recorded)

    def _repr_markdown_(self) -> str:
        parts = [self.provenance()]
        if counts := self.counts():
            parts.append(f"**Verdicts.** {counts[0].upper()}{counts[1:]}.")
        if self.evidence.numbers:
            summary = "<details><summary>All measured numbers</summary>"
            parts.append(f"{summary}\n\n{self.numbers()}\n\n</details>")
        return "\n\n".join(parts)


def verdict(word: str) -> str:
    """Return a verdict as HTML: sign and word."""
    sign = SIGNS.get(word, "·")
    return (
        f'<b class="lk-verdict lk-{word.replace(" ", "-")}"><span aria-hidden="true">{sign}</span> {word}</b>'
    )


def _minutes(records: Sequence[Record]) -> float:
    return mean_interval([record.seconds for record in records]).mean / 60


def _notes(judgement: Judgement) -> list[str]:
    """Return what stands below a claim: effect, width of the interval, margin, whether it was added."""
    claim, notes = judgement.claim, [judgement.text]
    if claim.primary and judgement.effect.n > 1:
        notes.append(f"interval of {100 * (1 - judgement.level):.3g}\u00a0%")
    if claim.within is not None:
        notes.append(f"margin {judgement.contrast.effect.text(mean_interval([claim.within]))}")
    if judgement.added:
        notes.append("added after the runs")
    return notes


def effects_in(record: Record, claim: Claim) -> str:
    """Return the effects of a claim in one run as text, empty where it has no such rows (yet)."""
    try:
        return ", ".join(
            contrast.effect.text(
                contrast.effect.mean([contrast.effect.value(record.rows)]),
                signed=contrast.relation != "within",
            )
            for contrast in claim.statement.contrasts
        )
    except Missing:
        return ""


def claim_anchor(claim: Claim) -> str:
    """Return the id that a claim has on the page of its chapter."""
    return f"claim-{digest([claim.text])[:8]}"


def _mean(quantity: Quantity, records: Sequence[Record], *, interval: bool = False) -> str:
    """Return the mean of `quantity` over `records` as text, empty where one of them does not have it."""
    if not records:
        return ""
    try:
        found = quantity.mean(quantity.values(record.rows for record in records))
    except Missing:
        return ""
    return quantity.text(found if interval else mean_interval([found.mean]))

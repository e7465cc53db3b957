"""Sentences with measured numbers in them, and verdicts: none is typed by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from IPython.display import Markdown

from labkit.errors import LabkitError
from labkit.lab.evidence import Claim, Verdict
from labkit.lab.quantities import Quantity
from labkit.lab.session import Lab


@dataclass(frozen=True)
class Sentence:
    """What to say of a claim, by verdict."""

    claim: Claim
    by_verdict: dict[Verdict, str | None]
    otherwise: str | None

    def chosen(self, verdict: Verdict | None) -> str:
        """Return the sentence for `verdict`; that is None for a claim that no run has judged.

        Raises LabkitError where there is none: then the text does not say what was found.
        """
        if verdict is None:
            return f"*Not recorded yet, whether this holds: {self.claim.text}.*"
        text = self.by_verdict[verdict]
        text = self.otherwise if text is None else text
        if text is None:
            told = [name for name, sentence in self.by_verdict.items() if sentence is not None]
            raise LabkitError(
                f"the claim {self.claim.text!r} is {verdict}, and the text has a sentence for "
                f"{', '.join(told)} only"
            )
        return text


def when(
    claim: Claim,
    *,
    supported: str | None = None,
    contradicted: str | None = None,
    no_difference: str | None = None,
    undecided: str | None = None,
    not_testable: str | None = None,
    otherwise: str | None = None,
) -> Sentence:
    """Return what to say of `claim` for each verdict of the recorded runs; `otherwise` is for all others."""
    by_verdict: dict[Verdict, str | None] = {
        "supported": supported,
        "contradicted": contradicted,
        "no difference": no_difference,
        "undecided": undecided,
        "not testable": not_testable,
    }
    return Sentence(claim, by_verdict, otherwise)


def say(lab: Lab, *parts: str | Sentence, **values: Quantity) -> Markdown:
    """Return `parts` as one text; each `{name}` in it is the mean of the quantity given as `name`.

    Of a Sentence it is the text for what the recorded runs say. Raises LabkitError where a name is unknown,
    or a verdict has no sentence.
    """
    return Markdown(told(lab, parts, values))


def told(lab: Lab, parts: tuple[str | Sentence, ...], values: dict[str, Quantity]) -> str:
    """Return the text that `say` shows."""
    report = lab.report()

    def text(part: str | Sentence) -> str:
        if isinstance(part, str):
            return part
        judgement = report.judged.get(part.claim)
        return part.chosen(judgement.verdict if judgement else None)

    def quoted(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise LabkitError(f"no quantity is given for {{{match[1]}}}; given are: {', '.join(values)}")
        return report.quote(values[match[1]])

    return re.sub(r"\{(\w+)\}", quoted, " ".join(filter(None, map(text, parts))))


def verdicts(lab: Lab, *rows: str) -> Markdown:
    """Return the claims of `rows`, such as ``"R2"``, each with its verdict and effect."""
    return Markdown(lab.report().claims(rows))

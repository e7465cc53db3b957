"""In short: what a chapter found, before it is told how."""

from __future__ import annotations

from IPython.display import Markdown, display

from labkit.lab.quantities import Quantity
from labkit.lab.session import Lab
from labkit.show.figure import SIZE, Drawing, Shown, figure
from labkit.show.say import Sentence, told


def in_short(
    lab: Lab,
    drawing: Drawing,
    *parts: str | Sentence,
    caption: str,
    alt: str,
    size: tuple[float, float] = SIZE,
    **values: Quantity,
) -> Shown | None:
    """Show the sentences of `parts` with the counts of verdicts and what a run takes, and the main figure.

    Both come from recorded runs: without any there is nothing to tell yet, and no figure. The first of the
    parts is the answer in a line.
    """
    report = lab.report()
    if not lab.recorded:
        display(
            Markdown("**In short.** No run of this chapter is recorded yet, so there is nothing to tell.")
        )
        return None
    answer, rest = told(lab, parts[:1], values), told(lab, parts[1:], values)
    seeds = f"{len(lab.recorded)} seed{'s' * (len(lab.recorded) > 1)}"
    cost = (
        f"{lab.recorded[0].profile}, {seeds} of {report.minutes():.0f} minutes on {lab.recorded[0].machine}"
    )
    display(
        Markdown(
            f'**In short.** <span class="lk-answer">{answer}</span> {rest}\n\n'
            f'<span class="lk-counts">{"; ".join(filter(None, (report.counts(), cost)))}</span>'
        )
    )
    return figure(lab, drawing, caption=caption, alt=alt, size=size)

"""Sentences with measured numbers in them, and verdicts: no number is typed by hand."""

from __future__ import annotations

import re

from IPython.display import Markdown

from labkit.lab.session import Lab


def say(lab: Lab, text: str) -> Markdown:
    """Return `text` with each `{name}` replaced by the number of that name, as `Report.quote` gives it."""
    report = lab.report()
    return Markdown(re.sub(r"\{([^{}]+)\}", lambda match: report.quote(match[1]), text))


def verdicts(lab: Lab, *rows: str) -> Markdown:
    """Return the claims of `rows`, such as ``"R2"``, each with its effect and verdict."""
    return Markdown(lab.report().claims(rows))

"""Rows as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from IPython.display import Markdown


def table(rows: Sequence[Mapping[str, Any]]) -> Markdown:
    """Return `rows` as a Markdown table with a column for each key of the first; floats with four digits."""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += [f"| {' | '.join(_cell(row[name]) for name in names)} |" for row in rows]
    return Markdown("\n".join(lines))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

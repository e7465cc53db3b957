"""Rows of several seeds, brought together for a table or for bars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from labkit.lab.record import Row
from labkit.measure.intervals import mean_interval


def pivot(rows: Sequence[Row], by: str, across: str, of: str) -> list[Row]:
    """Return a wide row for each seed and value of `by`: the values of `across` as columns, filled with `of`.

    Where several rows fall into one cell it holds their mean. Rows whose `of` is None are left out.
    """
    cells: dict[tuple[Any, Any], dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row[of] is not None:
            cells[row["seed"], row[by]][row[across]].append(row[of])
    return [
        {"seed": seed, by: value} | {column: fmean(values) for column, values in columns.items()}
        for (seed, value), columns in cells.items()
    ]


def means(
    rows: Sequence[Row],
    by: str | Sequence[str],
    columns: Sequence[str],
    show: str = "{:.1%}",
    *,
    interval: tuple[float, float] | None = None,
    rank: str = "",
) -> list[Row]:
    """Return a line for each value of `by`, or of several, with the means of `columns` as texts for a table.

    The rows of a line are the repeated runs of one thing, one a seed. With `interval` the 95 % interval of
    their mean is added where there are several, as far as it lies between these two ends: a share cannot
    leave (0, 1). With `rank` the line with the largest mean of that column comes first. A column that none of
    a line's rows has stays empty (None).
    """
    keys = [by] if isinstance(by, str) else by
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    if rank:
        groups = dict(sorted(groups.items(), key=lambda group: -fmean(row[rank] for row in group[1])))
    lines = []
    for at, group in groups.items():
        line: Row = dict(zip(keys, at, strict=True))
        for column in columns:
            values = [row[column] for row in group if row.get(column) is not None]
            line[column] = _text(values, show, interval) if values else None
        lines.append(line)
    return lines


def _text(values: Sequence[float], show: str, interval: tuple[float, float] | None) -> str:
    mean = mean_interval(values)
    if interval is None or mean.n == 1:
        return show.format(mean.mean)
    least, most = interval
    low, high = max(mean.low, least), min(mean.high, most)
    return f"{show.format(mean.mean)} [{show.format(low)}, {show.format(high)}]"

"""Drawing rows: curves and bars with their spread over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, geometric_mean

import matplotlib as mpl
from matplotlib.axes import Axes

from labkit.lab.record import Row
from labkit.measure.intervals import mean_interval

SIDE_BY_SIDE = 5  # names of groups of bars; the words of more stand below each other


def curves(axes: Axes, rows: Sequence[Row], *, x: str, y: str, by: str, geometric: bool = False) -> None:
    """Draw `y` over `x`, a curve for each value of `by`: the mean over seeds, with a band from least to most.

    Rows whose `y` is None are left out. A curve of one point is a dot. The mean is `geometric` for what is
    drawn on a logarithmic axis, where it lies in the middle; all values must then be positive.
    """
    mean = geometric_mean if geometric else fmean
    points: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row[y] is not None:
            points[row[by]][row[x]].append(row[y])
    for name, values in points.items():
        at = sorted(values)
        means = [mean(values[k]) for k in at]
        (line,) = axes.plot(at, means, label=name, marker="o" if len(at) == 1 else "")
        low, high = [min(values[k]) for k in at], [max(values[k]) for k in at]
        axes.fill_between(at, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel=x, ylabel=y)


def bars(axes: Axes, rows: Sequence[Row], *, x: str, ys: Sequence[str]) -> None:
    """Draw the mean over seeds of each of `ys` by value of `x`, with its 95 % interval."""
    names = list(dict.fromkeys(row[x] for row in rows))
    width = 0.8 / len(ys)
    for k, y in enumerate(ys):
        means = [mean_interval([row[y] for row in rows if row[x] == name]) for name in names]
        at = [i + (k - (len(ys) - 1) / 2) * width for i in range(len(names))]
        reach = None if means[0].n == 1 else [m.high - m.mean for m in means]
        hatch = ("", "//", "..", "xx")[k % 4]  # told apart without colour
        ink = mpl.rcParams["text.color"]
        heights = [m.mean for m in means]
        axes.bar(at, heights, 0.9 * width, yerr=reach, label=y, hatch=hatch, ecolor=ink, capsize=3)
    told = [str(name) for name in names]
    if len(names) > SIDE_BY_SIDE:
        told = [name.replace(" ", "\n") for name in told]
    axes.set_xticks(range(len(names)), told)

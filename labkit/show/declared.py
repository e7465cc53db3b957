"""Drawings that are declared: curves and bars over the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from labkit.lab.record import Row
from labkit.show.draw import bars, curves
from labkit.show.figure import Drawing

Legend = Literal["top", "right", ""]


def lines(
    table: str,
    *,
    x: str,
    y: str,
    by: str,
    where: Mapping[str, Any] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    log: str = "",
    ticks: Sequence[float] = (),
    legend: Legend = "top",
) -> Drawing:
    """Return the drawing of `y` over `x`, a curve for each value of `by`, with its spread over seeds.

    `where` chooses rows by column: a value, or a list of those allowed. `log` names the axes with a
    logarithmic scale: ``x``, ``y`` or ``xy``; where y has one, means over seeds are geometric. `ticks` are
    those of x, each labelled with its number.
    """

    def draw(figure: Figure, rows: Sequence[Row]) -> None:
        axes = figure.subplots()
        curves(axes, _chosen(rows, where), x=x, y=y, by=by, geometric="y" in log)
        axes.set(xlabel=xlabel or x, ylabel=ylabel or y)
        _scaled(axes, log)
        if ticks:
            axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
            axes.xaxis.minorticks_off()
        _legend(figure, legend)

    return Drawing(table, draw, "Curves are means over seeds, bands reach from the lowest to the highest.")


def columns(
    table: str,
    *,
    x: str,
    ys: Sequence[str],
    where: Mapping[str, Any] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    log: str = "",
    legend: Legend = "top",
) -> Drawing:
    """Return the drawing of bars: for each value of `x` one for each column of `ys`; the rest as `lines`."""

    def draw(figure: Figure, rows: Sequence[Row]) -> None:
        axes = figure.subplots()
        bars(axes, _chosen(rows, where), x=x, ys=ys)
        axes.set(xlabel=xlabel, ylabel=ylabel or ys[0])
        _scaled(axes, log)
        _legend(figure, legend if len(ys) > 1 else "")

    return Drawing(table, draw, "Bars are means over seeds, with 95 % intervals.")


def _chosen(rows: Sequence[Row], where: Mapping[str, Any] | None) -> list[Row]:
    def fits(row: Row) -> bool:
        return all(
            row[name] in (allowed if isinstance(allowed, list | tuple) else [allowed])
            for name, allowed in (where or {}).items()
        )

    return [row for row in rows if fits(row)]


def _scaled(axes: Axes, log: str) -> None:
    for name in log:
        axes.set(**{f"{name}scale": "log"})
        low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
        if high < 100 * low:  # powers of ten alone would be one tick or two
            axis = axes.xaxis if name == "x" else axes.yaxis
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, place: Legend) -> None:
    if place == "top":
        figure.legend(loc="outside upper center", ncols=3)
    elif place == "right":
        figure.legend(loc="outside right center")

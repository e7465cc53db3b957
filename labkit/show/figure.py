"""Figures as functions of rows, drawn once for the recorded runs and once for this run."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from labkit.errors import LabkitError
from labkit.lab.record import Row
from labkit.lab.session import Lab
from labkit.show.tabs import Panels
from labkit.source.meaning import digest

Draw = Callable[[Figure, list[Row]], None]
DrawAt = Callable[[Figure, list[Row], Any], None]

# Okabe and Ito's colours that keep a contrast of 3:1 on white and on the dark theme's background alike,
# each with a dash of its own: curves are told apart without colour.
COLOURS = ("#2a7ab9", "#d55e00", "#009e73", "#b0679b", "#8c7a00", "#7f7f7f")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))

_INK = "#010203"  # stands for the colour of the page's text, whatever the theme
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.prop_cycle": cycler(color=COLOURS, linestyle=DASHES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#80808055",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
}


def figure(lab: Lab, table: str, draw: Draw, *, alt: str, size: tuple[float, float] = (5.6, 3.1)) -> Panels:
    """Draw the rows of `table` with `draw(figure, rows)`: recorded runs first, this run in a second tab.

    Each row carries its `seed`. `alt` tells in a sentence what the figure shows to those who cannot see
    it; raises LabkitError where it is missing. `size` is in inches.
    """
    name = _name(lab, table, alt)
    panels, png = [], b""
    for k, view in enumerate(lab.views()):
        with _style(f"{name}-{k}"):
            drawn = Figure(figsize=size, layout="constrained")
            draw(drawn, view.rows(table))
            panels.append((view.label, _svg(drawn, f"{name}-{k}", f"{alt} ({view.label})")))
            png = png or _png(drawn)
    return Panels(name, panels, png)


def control(
    lab: Lab, table: str, by: str, draw: DrawAt, *, alt: str, size: tuple[float, float] = (5.6, 3.1)
) -> Panels:
    """Draw the rows of `table` with `draw(figure, rows, value)` for each value of their column `by`.

    The reader chooses the value, by mouse or arrow keys, without a kernel: all frames are in the page. `rows`
    are those of all values, so that every frame can have the same axes; `{value}` in `alt` is replaced.
    """
    name = _name(lab, table, alt) + "-control"
    panels, png = [], b""
    for k, view in enumerate(lab.views()):
        rows = view.rows(table)
        frames: list[tuple[str, str]] = []
        for value in dict.fromkeys(row[by] for row in rows):
            frame = f"{name}-{k}-{len(frames)}"
            with _style(frame):
                drawn = Figure(figsize=size, layout="constrained")
                draw(drawn, rows, value)
                told = f"{alt.replace('{value}', str(value))} ({view.label})"
                frames.append((str(value), _svg(drawn, frame, told)))
                png = png or _png(drawn)
        panels.append((view.label, Panels(f"{name}-{k}", frames, png, legend=by).html()))
    return Panels(name, panels, png)


def _name(lab: Lab, table: str, alt: str) -> str:
    """Return the name of a figure, unique in its chapter; raises LabkitError where `alt` says too little."""
    if len(alt) < 20:
        raise LabkitError(f"figure {table}: the text alternative {alt!r} does not tell what is to be seen")
    # A table may be drawn more than once; what is to be seen differs.
    return f"{lab.chapter.number}-{table}-{digest([alt])[:6]}".lower().replace(" ", "-")


def _style(salt: str) -> AbstractContextManager[None]:
    return mpl.rc_context(_STYLE | {"svg.hashsalt": salt})


def _svg(drawn: Figure, name: str, alt: str) -> str:
    """Return `drawn` as an inline SVG that takes the page's text colour and is described by `alt`."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace(_INK, "currentColor")
    # One page holds many figures: keep the ids that are used and make them the figure's own, drop the rest.
    used = set(re.findall(r'(?:href="#|url\(#)([\w-]+)', svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)([\w-]+)', rf"\g<1>{name}-\g<2>", svg)
    # Small enough for letters that can be read on a phone; on a wide page the figure grows by a fifth.
    svg = re.sub(r' width="[^"]*pt"| height="[^"]*pt"', "", svg, count=2)
    style = f"width:100%;max-width:{1.2 * drawn.get_figwidth():.1f}in;height:auto"
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}" style="{style}"', 1)


def _png(drawn: Figure) -> bytes:
    buffer = io.BytesIO()
    drawn.set_layout_engine("none")  # drawing the SVG has laid it out: not again
    FigureCanvasAgg(drawn)
    drawn.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()

"""Figures as functions of rows, drawn once for the recorded runs and, in a notebook, once for this run."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from labkit.errors import LabkitError
from labkit.lab.record import Row, rows_file
from labkit.lab.session import Lab
from labkit.show.tabs import Panels
from labkit.source.meaning import digest

Draw = Callable[[Figure, list[Row]], None]
DrawAt = Callable[[Figure, list[Row], Any], None]
SIZE = (5.6, 3.1)  # inches

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


@dataclass(frozen=True)
class Drawing:
    """How the rows of `table` are drawn; `note` tells what a line or bar is."""

    table: str
    draw: Callable[..., None]
    note: str = ""


def drawn(table: str, draw: Draw | DrawAt) -> Drawing:
    """Return the drawing of `table` by `draw(figure, rows)`, for a control by `draw(figure, rows, value)`."""
    return Drawing(table, draw)


def figure(lab: Lab, drawing: Drawing, *, caption: str, alt: str, size: tuple[float, float] = SIZE) -> Shown:
    """Show a drawing of the recorded runs; in a notebook this run first, the recorded ones in a second tab.

    Each row carries its `seed`. `alt` tells in a sentence what the figure shows to those who cannot see
    it; raises LabkitError where it is missing. `size` is in inches.
    """
    name = _name(lab, drawing.table, alt)
    panels, views = [], lab.views(drawing.table)
    for k, view in enumerate(views):
        told = f"{alt} ({view.label})"
        panels.append((view.label, svg(drawing, view.rows(drawing.table), f"{name}-{k}", told, size)))
    png = b"" if lab.on_page else _png(drawing, views[0].rows(drawing.table), size)
    return Shown(lab, Panels(name, panels, png), caption, note=drawing.note, table=drawing.table)


def control(
    lab: Lab, by: str, drawing: Drawing, *, caption: str, alt: str, size: tuple[float, float] = SIZE
) -> Shown:
    """Show a drawing for each value of the column `by`, which the reader chooses.

    By mouse or arrow keys, without a kernel: all frames are in the page. The rows drawn are those of all
    values, so that every frame can have the same axes; `{value}` in `alt` is replaced.
    """
    name = _name(lab, drawing.table, alt) + "-control"
    panels, png = [], b""
    for k, view in enumerate(lab.views(drawing.table)):
        rows = view.rows(drawing.table)
        frames: list[tuple[str, str]] = []
        for value in dict.fromkeys(row[by] for row in rows):
            told = f"{alt.replace('{value}', str(value))} ({view.label})"
            frames.append((str(value), svg(drawing, rows, f"{name}-{k}-{len(frames)}", told, size, value)))
        if not png and not lab.on_page:
            png = _png(drawing, rows, size, rows[0][by])
        panels.append((view.label, Panels(f"{name}-{k}", frames, png, legend=by).html()))
    return Shown(lab, Panels(name, panels, png), caption, note=drawing.note, table=drawing.table)


class Shown:
    """A numbered figure with caption and address; on a page with a link to the rows of `table` as CSV."""

    def __init__(self, lab: Lab, panels: Panels, caption: str, *, note: str = "", table: str = "") -> None:
        self.lab, self.panels, self.caption, self.note, self.table = lab, panels, caption, note, table

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        # The PNG is for readers of a notebook who see no HTML: a page has none.
        return {"text/html": self.html()} | ({"image/png": self.panels.png} if self.panels.png else {})

    def html(self) -> str:
        """Return the figure as HTML."""
        number = self.lab.figure_number(self.panels.name)
        parts = [f'<a href="#figure-{number}"><b>Figure {number}.</b></a>']
        parts += [escape(text) for text in (self.caption, self.note) if text]
        if self.lab.on_page:
            [(view, _)] = self.panels.panels
            parts.append(f"<i>{escape(view[0].upper() + view[1:])}.</i>")
            if self.table and self.lab.recorded:
                chapter = self.lab.chapter
                address = "../" * chapter.page.count("/") + rows_file(chapter, self.table)
                parts.append(f'<a class="lk-rows" href="{address}" download>Rows as CSV</a>')
        caption = f"<figcaption>{' '.join(parts)}</figcaption>"
        return f'<figure class="lk-figure" id="figure-{number}">{self.panels.html()}{caption}</figure>'


def svg(
    drawing: Drawing, rows: list[Row], name: str, alt: str, size: tuple[float, float], *value: Any
) -> str:
    """Return a drawing of `rows` as inline SVG, described by `alt`; its ids begin with `name`."""
    with _style(name):
        made = Figure(figsize=size, layout="constrained")
        drawing.draw(made, rows, *value)
        return _svg(made, name, alt)


def _name(lab: Lab, table: str, alt: str) -> str:
    """Return the name of a figure, unique in its chapter; raises LabkitError where `alt` says too little."""
    if len(alt) < 20:
        raise LabkitError(f"figure {table}: the text alternative {alt!r} does not tell what is to be seen")
    # A table may be drawn more than once; what is to be seen differs.
    return f"{lab.chapter.number}-{table}-{digest([alt])[:6]}".lower().replace(" ", "-")


def _style(salt: str) -> AbstractContextManager[None]:
    return mpl.rc_context(_STYLE | {"svg.hashsalt": salt})


def _svg(made: Figure, name: str, alt: str) -> str:
    """Return `made` as an inline SVG that takes the page's text colour and is described by `alt`."""
    buffer = io.StringIO()
    made.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = text.replace(_INK, "currentColor")
    # One page holds many figures: keep the ids that are used and make them the figure's own, drop the rest.
    used = set(re.findall(r'(?:href="#|url\(#)([\w-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)([\w-]+)', rf"\g<1>{name}-\g<2>", text)
    # Small enough for letters that can be read on a phone; on a wide page the figure grows by a fifth.
    text = re.sub(r' width="[^"]*pt"| height="[^"]*pt"', "", text, count=2)
    style = f"width:100%;max-width:{1.2 * made.get_figwidth():.1f}in;height:auto"
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}" style="{style}"', 1)


def _png(drawing: Drawing, rows: list[Row], size: tuple[float, float], *value: Any) -> bytes:
    buffer = io.BytesIO()
    with _style(""):
        made = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(made)
        drawing.draw(made, rows, *value)
        made.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()

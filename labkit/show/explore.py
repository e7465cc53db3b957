"""Something to play with: frames on a page, sliders that compute in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit.lab.record import Row
from labkit.lab.session import Lab
from labkit.show.figure import SIZE, DrawAt, control, drawn, svg


def explore(
    lab: Lab,
    table: str,
    by: str,
    draw: DrawAt,
    *,
    live: Callable[..., list[Row]],
    controls: Mapping[str, Any],
    caption: str,
    alt: str,
    size: tuple[float, float] = SIZE,
) -> Any:
    """Show `draw(figure, rows, value)` for a value of `by` that the reader chooses.

    On a page of the book the values and rows are those recorded as `table`. In a notebook there is a control
    for each argument of `live`, as ipywidgets makes them of ``(least, most, step)``, of a list of choices or
    of a truth value, and `live(**arguments)` computes the rows on the networks of this run.
    """
    if lab.on_page:
        return control(lab, by, drawn(table, draw), caption=caption, alt=alt, size=size)
    import ipywidgets  # a page does without

    widgets = {name: ipywidgets.interactive.widget_from_abbrev(asked) for name, asked in controls.items()}
    # An `Output` would show any figure, but whoever executes a notebook in batch writes to the kernel for it
    # while waiting for the cell, and may then wait for ever.
    picture = ipywidgets.HTML()

    def show(_: Any = None) -> None:
        arguments = {name: widget.value for name, widget in widgets.items()}
        rows = [{"seed": lab.seed} | row for row in live(**arguments)]  # as recorded rows have it
        value = rows[0][by]
        told = f"{alt.replace('{value}', str(value))} (computed now)"
        picture.value = svg(drawn(table, draw), rows, f"{lab.chapter.number}-live", told, size, value)

    for name, widget in widgets.items():
        widget.description = name
        if hasattr(widget, "continuous_update"):  # computing takes a moment: once, when the hand lets go
            widget.continuous_update = False
        widget.observe(show, "value")
    show()
    return ipywidgets.VBox([*widgets.values(), picture])

"""Something to play with: frames of recorded rows on a page, sliders that compute in a notebook."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from matplotlib.figure import Figure
from trial import lab_of, recorded, write_book

from labkit.chapters.chapter import Chapter
from labkit.lab.record import Row
from labkit.lab.session import Lab
from labkit.show.explore import explore
from labkit.show.figure import Shown

ALT = "A line that rises with the temperature {value}"


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    chapter = write_book(tmp_path)
    rows = [{"temperature": t, "x": x, "y": t * x} for t in (1.0, 2.0) for x in (0, 1)]
    recorded(chapter, 0, rows={"R9": rows}).write(tmp_path / "results")
    return chapter


def shown(lab: Lab, computed: list[dict[str, Any]], drawn: list[tuple[int, float]]) -> Any:
    def draw(figure: Figure, rows: list[Row], value: float) -> None:
        drawn.append((len(rows), value))
        figure.subplots().plot([row["y"] for row in rows])

    def live(**arguments: Any) -> list[Row]:
        computed.append(arguments)
        return [{"temperature": arguments["degrees"], "x": x, "y": x} for x in range(7)]

    return explore(
        lab,
        "R9",
        "temperature",
        draw,
        live=live,
        controls={"degrees": (0.5, 3.0, 0.5), "which": ["a", "b"], "sharp": False},
        caption="Move it.",
        alt=ALT,
    )


def test_on_a_page_it_is_a_control_of_the_recorded_rows(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_PAGE", "1")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # it cannot be imported
    computed, drawn = list[dict[str, Any]](), list[tuple[int, float]]()
    made = shown(lab_of(chapter), computed, drawn)
    assert isinstance(made, Shown)
    html = made.html()
    assert "<fieldset" in html
    assert "<legend>temperature</legend>" in html
    assert (drawn, computed) == ([(4, 1.0), (4, 2.0)], [])
    assert "A line that rises with the temperature 2.0 (recorded: laptop, 1 seed)" in html


def test_in_a_notebook_a_slider_computes_rows_and_draws_them(
    chapter: Chapter,
) -> None:
    computed, drawn = list[dict[str, Any]](), list[tuple[int, float]]()
    made = shown(lab_of(chapter), computed, drawn)
    slider, choice, box, picture = made.children
    assert isinstance(slider, ipywidgets.FloatSlider)
    assert (slider.min, slider.max, slider.step, slider.continuous_update) == (0.5, 3.0, 0.5, False)
    assert isinstance(choice, ipywidgets.Dropdown)
    assert isinstance(box, ipywidgets.Checkbox)
    assert [widget.description for widget in (slider, choice, box)] == ["degrees", "which", "sharp"]
    # It shows something before anybody has touched it.
    assert computed == [{"degrees": 1.5, "which": "a", "sharp": False}]
    assert drawn == [(7, 1.5)]
    assert 'aria-label="A line that rises with the temperature 1.5 (computed now)"' in picture.value

    slider.value = 3.0
    choice.value = "b"
    box.value = True
    assert computed[1:] == [
        {"degrees": 3.0, "which": "a", "sharp": False},
        {"degrees": 3.0, "which": "b", "sharp": False},
        {"degrees": 3.0, "which": "b", "sharp": True},
    ]
    assert drawn[1:] == [(7, 3.0)] * 3
    assert 'aria-label="A line that rises with the temperature 3.0 (computed now)"' in picture.value


def test_nothing_has_to_be_written_back_where_a_notebook_is_executed_in_batch(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nbclient answers an Output widget on the channel on which it waits for the cell: a run then hung.
    monkeypatch.setattr(ipywidgets.Output, "__init__", lambda *_, **__: pytest.fail("an Output widget"))
    shown(lab_of(chapter), [], [])

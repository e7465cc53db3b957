"""Figures, sheets, tables and sentences of a chapter."""

from __future__ import annotations

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from labkit.errors import LabkitError
from labkit.lab.record import Number, Record
from labkit.lab.report import Report
from labkit.lab.session import View
from labkit.models.convnet import Residual
from labkit.show.draw import bars, curves
from labkit.show.figure import COLOURS, control, figure
from labkit.show.listing import listing
from labkit.show.say import say
from labkit.show.sheet import grid
from labkit.show.summary import means, pivot
from labkit.show.table import table
from labkit.show.tabs import Panels

ALT = "Two curves, of which one rises while the other one falls"


def lab(*labels: str):
    rows = [{"seed": s, "x": x, "y": x * s, "arm": arm} for s in (1, 2) for x in (0, 1, 2) for arm in "ab"]
    record = Record(
        "p00-trial", "smoke", 0, rows={"R1": rows}, numbers=[Number("R1", "accuracy", 0.5, "%", "")]
    )
    views = [View(label, [record]) for label in labels]
    return SimpleNamespace(
        chapter=SimpleNamespace(number="p00"), views=lambda: views, report=lambda: Report(record, [], [])
    )


def draw(drawn: Figure, rows: list[dict]) -> None:
    axes = drawn.subplots()
    curves(axes, rows, x="x", y="y", by="arm")
    axes.legend()


def svgs(panels: Panels) -> list[str]:
    return re.findall(r"<svg.*?</svg>", panels.html(), flags=re.DOTALL)


def test_a_figure_is_drawn_once_a_view_recorded_first() -> None:
    html = figure(lab("recorded: laptop, 2 seeds", "this run"), "R1", draw, alt=ALT).html()
    assert html.index("recorded: laptop") < html.index(">this run<")
    assert html.count("<svg") == 2
    assert html.count(" checked>") == 1


def test_each_figure_is_described_and_follows_the_theme() -> None:
    for svg, view in zip(svgs(figure(lab("old", "new"), "R1", draw, alt=ALT)), ("old", "new"), strict=True):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == f"{ALT} ({view})"
        assert "currentColor" in svg
        assert "#010203" not in svg


def test_no_id_occurs_twice_on_a_page_and_every_reference_has_its_id() -> None:
    panels = [figure(lab("old", "new"), "R1", draw, alt=alt) for alt in (ALT, f"{ALT} again")]
    panels += [Panels("other", [("one", "<p>1</p>")], b"")]
    page = "".join(panel.html() for panel in panels)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'(?:href="#|url\(#|for=")([\w-]+)', page):
        assert reference in ids


def test_where_html_cannot_be_shown_there_is_a_picture() -> None:
    bundle = figure(lab("old"), "R1", draw, alt=ALT)._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")


def test_a_control_has_a_frame_for_each_value_in_each_view_and_all_rows_in_each_frame() -> None:
    seen = []

    def draw_at(drawn: Figure, rows: list[dict], value: str) -> None:
        seen.append((len(rows), value))
        draw(drawn, [row for row in rows if row["arm"] == value])

    panels = control(lab("old", "new"), "R1", "arm", draw_at, alt=f"{ALT}, for the arm {{value}}")
    assert seen == [(12, "a"), (12, "b")] * 2
    labels = [ElementTree.fromstring(svg).get("aria-label") for svg in svgs(panels)]
    assert labels == [f"{ALT}, for the arm {value} ({view})" for view in ("old", "new") for value in "ab"]
    html = panels.html()
    assert html.count('<fieldset class="lk-tabs lk-control"><legend>arm</legend>') == 2
    # Each group of radio buttons is its own: the two frames of each view, and the two views.
    groups = re.findall(r'<input type="radio" name="([^"]+)"', html)
    assert sorted(groups.count(name) for name in set(groups)) == [2, 2, 2]
    assert html.count(" checked>") == 3
    # JupyterLab's own shortcuts leave an element with this attribute its arrow keys.
    assert html.count("data-lm-suppress-shortcuts") == len(groups)
    assert panels.png.startswith(b"\x89PNG")
    ids = re.findall(r' id="([^"]+)"', html + figure(lab("old", "new"), "R1", draw, alt=ALT).html())
    assert len(ids) == len(set(ids))


def test_a_figure_is_the_same_each_time_it_is_drawn() -> None:
    one, two = (figure(lab("old"), "R1", draw, alt=ALT).html() for _ in range(2))
    assert one == two


def test_a_figure_without_description_is_refused() -> None:
    with pytest.raises(LabkitError, match="text alternative"):
        figure(lab("old"), "R1", draw, alt="figure.png")


def test_curves_show_mean_and_range_over_seeds() -> None:
    axes = Figure().subplots()
    rows = [{"seed": s, "x": x, "y": x * s, "arm": "a"} for s in (1, 3) for x in (2, 1)]
    curves(axes, [*rows, {"seed": 1, "x": 9, "y": None, "arm": "a"}], x="x", y="y", by="arm")
    assert np.array(axes.lines[0].get_xydata()).tolist() == [[1, 2], [2, 4]]
    [band] = axes.collections
    corners = band.get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (1, 6)


def test_a_curve_of_one_point_can_be_seen() -> None:
    axes = Figure().subplots()
    rows = [{"x": x, "y": 1, "arm": arm} for arm, x in (("a", 1), ("a", 2), ("b", 1))]
    curves(axes, rows, x="x", y="y", by="arm")
    assert [line.get_marker() for line in axes.lines] == ["", "o"]


def test_as_many_curves_as_there_are_colours_differ_in_their_dashes_too() -> None:
    rows = [{"seed": 0, "x": x, "y": x * k, "arm": f"arm {k}"} for k in range(6) for x in (0, 1)]
    view = View("old", [Record("p00-trial", "smoke", 0, rows={"R1": rows})])
    seen = SimpleNamespace(chapter=SimpleNamespace(number="p00"), views=lambda: [view])
    [svg] = svgs(figure(seen, "R1", draw, alt=ALT))
    styles = re.findall(r'style="(fill: none;[^"]*stroke: #[^"]*)"', svg)
    lines = {
        colour: {
            re.search(r"dasharray: ([^;]*)|$", style)[1] for style in styles if f"stroke: {colour};" in style
        }
        for colour in COLOURS
    }
    assert all(len(dashes) == 1 for dashes in lines.values())
    assert len(set.union(*lines.values())) == len(COLOURS) == 6


def test_bars_side_by_side_differ_in_their_hatches_too() -> None:
    axes = Figure().subplots()
    bars(axes, [{"arm": "a", "y": 1.0, "z": 2.0, "v": 3.0, "w": 4.0}], x="arm", ys=["y", "z", "v", "w"])
    assert len({bar.get_hatch() for bar in axes.patches}) == 4


def test_bars_show_mean_and_interval() -> None:
    axes = Figure().subplots()
    bars(axes, [{"arm": "a", "y": value} for value in (1.0, 2.0, 3.0)], x="arm", ys=["y"])
    assert axes.patches[0].get_height() == 2
    [stem] = axes.collections[0].get_segments()
    assert stem[:, 1].tolist() == pytest.approx([2 - 2.48414, 2 + 2.48414], rel=1e-4)


def test_a_grid_puts_images_where_they_belong() -> None:
    rows = [torch.zeros(3, 3, 4, 4), torch.full((3, 3, 4, 4), 300.0)]
    picture = grid(rows, gap=2)
    assert picture.shape == (10, 16, 3)
    assert (picture[:4, :4] == 0).all()
    assert (picture[4:6] == 255).all()
    assert (picture[:4, 4:6] == 255).all()
    assert Image.fromarray(picture.numpy()).size == (16, 10)


def test_a_listing_is_the_code_that_runs() -> None:
    text = listing(Residual).data
    assert text.startswith("```python\n# labkit.models.convnet.Residual\nclass Residual(nn.Module):")
    assert "self.scale * self.branch(x)" in text


def test_a_table_has_a_line_a_row() -> None:
    assert table([{"a": 1 / 3, "b": None}, {"a": 2, "b": "x"}]).data.splitlines() == [
        "| a | b |",
        "|---|---|",
        "| 0.3333 | – |",
        "| 2 | x |",
    ]


def test_sentences_take_their_numbers_from_runs() -> None:
    assert say(lab("old"), "It is {accuracy}.").data == "It is 50.0\u00a0% (this run)."
    with pytest.raises(LabkitError, match="no number is called 'speed'"):
        say(lab("old"), "{speed}")


def seeds(**columns: list[float]) -> list[dict]:
    return [{"seed": s, "arm": "a"} | {k: v[s] for k, v in columns.items()} for s in range(3)]


def test_means_are_over_the_runs_with_the_t_interval() -> None:
    rows = seeds(accuracy=[0.50, 0.60, 0.70], loss=[1.0, 2.0, 3.0])
    assert means(rows, "arm", ["accuracy"]) == [{"arm": "a", "accuracy": "60.0%"}]
    # t = 4.3027 with two degrees of freedom: 0.6 ± 4.3027 · 0.1 / √3
    assert means(rows, "arm", ["accuracy"], interval=(0, 1))[0]["accuracy"] == "60.0% [35.2%, 84.8%]"
    assert means(rows, "arm", ["accuracy"], interval=(0.4, 0.8))[0]["accuracy"] == "60.0% [40.0%, 80.0%]"
    assert means(rows[:1], "arm", ["accuracy"], interval=(0, 1))[0]["accuracy"] == "50.0%"
    assert means(rows, "arm", ["loss"], "{:+.2f}")[0]["loss"] == "+2.00"


def test_means_by_several_columns_keep_their_order_unless_ranked() -> None:
    rows = [
        {"seed": 0, "arm": arm, "size": size, "accuracy": value, "told": None}
        for arm, size, value in (("a", 1, 0.2), ("a", 2, 0.9), ("b", 1, 0.4))
    ]
    lines = means(rows, ["arm", "size"], ["accuracy"])
    assert [(line["arm"], line["size"]) for line in lines] == [("a", 1), ("a", 2), ("b", 1)]
    ranked = means(rows, ["arm", "size"], ["accuracy"], rank="accuracy")
    assert [line["accuracy"] for line in ranked] == ["90.0%", "40.0%", "20.0%"]
    assert means(rows, "arm", ["told", "missing"])[0] == {"arm": "a", "told": None, "missing": None}


def test_a_pivot_has_a_row_a_seed_and_averages_what_shares_a_cell() -> None:
    rows = [
        {"seed": seed, "arm": arm, "kind": kind, "severity": severity, "accuracy": seed + severity}
        for seed in (0, 10)
        for arm in "ab"
        for kind in ("blur", "fog")
        for severity in ((1, 3) if kind == "blur" else (5,))
    ]
    rows.append({"seed": 0, "arm": "a", "kind": "rain", "severity": 1, "accuracy": None})
    assert pivot(rows, "arm", "kind", "accuracy") == [
        {"seed": 0, "arm": "a", "blur": 2, "fog": 5},
        {"seed": 0, "arm": "b", "blur": 2, "fog": 5},
        {"seed": 10, "arm": "a", "blur": 12, "fog": 15},
        {"seed": 10, "arm": "b", "blur": 12, "fog": 15},
    ]
    assert pivot(rows, "seed", "arm", "accuracy")[1] == {"seed": 10, "a": 13, "b": 13}

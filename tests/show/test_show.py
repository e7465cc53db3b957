"""Curves, bars, grids and tables of a chapter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from labkit.models.convnet import Residual
from labkit.show.draw import bars, curves
from labkit.show.listing import listing
from labkit.show.sheet import grid
from labkit.show.summary import means, pivot
from labkit.show.table import table


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


def test_words_of_many_names_stand_below_each_other() -> None:
    told = []
    for count in (5, 6):
        axes = Figure().subplots()
        bars(axes, [{"arm": f"arm {i}", "y": 1.0} for i in range(count)], x="arm", ys=["y"])
        told.append(axes.get_xticklabels()[0].get_text())
    assert told == ["arm 0", "arm\n0"]

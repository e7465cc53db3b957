"""Figures: numbered, described, drawn once for each view, with their rows as CSV where there is a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from trial import lab_of, recorded, write_book

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError
from labkit.lab.record import Row
from labkit.lab.session import Lab
from labkit.show.declared import columns, lines
from labkit.show.draw import curves
from labkit.show.figure import COLOURS, Drawing, Shown, control, drawn, figure
from labkit.show.short import in_short
from labkit.show.tabs import Panels

ALT = "Two curves, of which one rises while the other one falls"
TOLD: dict[str, Any] = {"caption": "Look at the end.", "alt": ALT}
CURVES = lines("R1", x="x", y="y", by="arm")


def table(slope: float) -> list[Row]:
    return [{"x": x, "y": slope * x, "arm": arm} for x in (0, 1, 2) for arm in "ab"]


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    """A chapter with two recorded seeds."""
    chapter = write_book(tmp_path)
    for seed in (0, 1):
        record = recorded(chapter, seed, rows={"R1": table(1.0 + seed), "R2": [{"z": 1.0}]})
        record.write(tmp_path / "results")
    return chapter


@pytest.fixture
def notebook(chapter: Chapter) -> Lab:
    return lab_of(chapter, R1=table(3.0), R3=[{"z": 2.0}])


@pytest.fixture
def page(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("LABKIT_PAGE", "1")
    return lab_of(chapter, R1=table(3.0), R3=[{"z": 2.0}])


def svgs(shown: Shown) -> list[str]:
    return re.findall(r"<svg.*?</svg>", shown.html(), flags=re.DOTALL)


def text(html: str) -> str:
    return " ".join(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_in_a_notebook_there_are_two_tabs_ones_own_run_first(notebook: Lab) -> None:
    html = figure(notebook, CURVES, **TOLD).html()
    own, old = ">this run: smoke, seed 0<", ">recorded: laptop, 2 seeds<"
    assert 0 < html.index(own) < html.index(old)
    assert html.count("<svg") == html.count("<label") == 2
    assert html.count(" checked>") == 1
    assert "lk-rows" not in html


def test_on_a_page_there_is_one_panel_and_its_rows(page: Lab) -> None:
    html = figure(page, CURVES, **TOLD).html()
    assert html.count("<svg") == 1
    assert "<label" not in html
    assert 'class="lk-tabs lk-one"' in html
    assert '<a class="lk-rows" href="../_rows/p00-r1.csv" download>Rows as CSV</a>' in html
    assert "<i>Recorded: laptop, 2 seeds.</i>" in html


def test_the_rows_of_a_chapter_in_a_part_lie_two_folders_up(page: Lab) -> None:
    page.chapter = Chapter("p00-trial", page.chapter.root, "vision")
    assert 'href="../../_rows/p00-r1.csv"' in figure(page, CURVES, **TOLD).html()


def test_without_records_a_page_shows_the_run_and_no_rows(page: Lab) -> None:
    page.recorded = []
    html = figure(page, CURVES, **TOLD).html()
    assert "<i>This run: smoke, seed 0.</i>" in html
    assert "lk-rows" not in html


def test_a_view_without_the_table_is_left_out(notebook: Lab) -> None:
    def labels(name: str) -> list[str]:
        shown = figure(notebook, drawn(name, lambda figure, rows: None), **TOLD)
        return [label for label, _ in shown.panels.panels]

    assert labels("R2") == ["recorded: laptop, 2 seeds"]
    assert labels("R3") == ["this run: smoke, seed 0"]
    with pytest.raises(LabkitError, match="no run has a table R4"):
        labels("R4")


def test_a_number_stays_when_a_cell_is_run_again(notebook: Lab) -> None:
    again = {"caption": "Other words.", "alt": ALT}
    other = {"caption": "Look at the end.", "alt": f"{ALT}, seen from behind"}
    shown = [figure(notebook, CURVES, **told).html() for told in (TOLD, other, again)]
    anchors = [re.findall(r'<figure class="lk-figure" id="(figure-\d)">', html) for html in shown]
    assert anchors == [["figure-1"], ["figure-2"], ["figure-1"]]
    for html, [anchor] in zip(shown, anchors, strict=True):
        assert f'<a href="#{anchor}"><b>Figure {anchor[-1]}.</b></a>' in html


def test_a_caption_is_text_and_the_note_says_what_is_drawn(notebook: Lab) -> None:
    html = figure(notebook, CURVES, caption="a < b & c", alt=ALT).html()
    assert "a &lt; b &amp; c" in html
    assert text(html).endswith(
        "Figure 1. a &lt; b &amp; c Curves are means over seeds, bands reach from the lowest to the highest."
    )
    plain = figure(notebook, drawn("R1", lambda figure, rows: None), caption="Plain.", alt=f"{ALT}!")
    assert text(plain.html()).endswith("Figure 2. Plain.")


def test_each_figure_is_described_and_follows_the_theme(notebook: Lab) -> None:
    views = [view.label for view in notebook.views("R1")]
    for svg, view in zip(svgs(figure(notebook, CURVES, **TOLD)), views, strict=True):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == f"{ALT} ({view})"
        assert "currentColor" in svg
        assert "#010203" not in svg


def test_no_id_occurs_twice_on_a_page_and_every_reference_has_its_id(notebook: Lab) -> None:
    shown = [figure(notebook, CURVES, caption="", alt=alt) for alt in (ALT, f"{ALT} again")]
    page = "".join(each.html() for each in shown) + Panels("other", [("one", "<p>1</p>")], b"").html()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'(?:href="#|url\(#|for=")([\w-]+)', page):
        assert reference in ids


def test_where_html_cannot_be_shown_there_is_a_picture(notebook: Lab) -> None:
    bundle = figure(notebook, CURVES, **TOLD)._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["text/html"].startswith("<figure")


def test_a_control_has_a_frame_for_each_value_in_each_view_and_all_rows_in_each_frame(notebook: Lab) -> None:
    seen = []

    def draw_at(figure: Figure, rows: list[Row], value: str) -> None:
        seen.append((len(rows), value))
        axes = figure.subplots()
        curves(axes, [row for row in rows if row["arm"] == value], x="x", y="y", by="arm")

    told = {"caption": "Choose an arm.", "alt": f"{ALT}, for the arm {{value}}"}
    shown = control(notebook, "arm", drawn("R1", draw_at), **told)
    # The first frame is drawn once more, as the PNG.
    assert seen == [(6, "a"), (6, "b"), (6, "a"), (12, "a"), (12, "b")]
    labels = [ElementTree.fromstring(svg).get("aria-label") for svg in svgs(shown)]
    views = [view.label for view in notebook.views("R1")]
    assert labels == [f"{ALT}, for the arm {value} ({view})" for view in views for value in "ab"]
    html = shown.html()
    assert html.count('<fieldset class="lk-tabs lk-control"><legend>arm</legend>') == 2
    # Each group of radio buttons is its own: the two frames of each view, and the two views.
    groups = re.findall(r'<input type="radio" name="([^"]+)"', html)
    assert sorted(groups.count(name) for name in set(groups)) == [2, 2, 2]
    assert html.count(" checked>") == 3
    # JupyterLab's own shortcuts leave an element with this attribute its arrow keys.
    assert html.count("data-lm-suppress-shortcuts") == len(groups)
    assert shown.panels.png.startswith(b"\x89PNG")
    ids = re.findall(r' id="([^"]+)"', html + figure(notebook, CURVES, **TOLD).html())
    assert len(ids) == len(set(ids))


def test_on_a_page_a_control_is_one_set_of_frames(page: Lab) -> None:
    html = control(page, "arm", drawn("R1", lambda figure, rows, value: None), **TOLD).html()
    assert html.count("<fieldset") == 1
    assert re.findall(r"<label[^>]*>([^<]*)<", html) == ["a", "b"]
    assert "lk-rows" in html


def test_a_figure_is_the_same_each_time_it_is_drawn(notebook: Lab) -> None:
    one, two = (figure(notebook, CURVES, **TOLD).html() for _ in range(2))
    assert one == two


def test_a_figure_without_description_is_refused(notebook: Lab) -> None:
    with pytest.raises(LabkitError, match="text alternative"):
        figure(notebook, CURVES, caption="", alt="figure.png")


def test_as_many_curves_as_there_are_colours_differ_in_their_dashes_too(chapter: Chapter) -> None:
    rows = [{"x": x, "y": x * k, "arm": f"arm {k}"} for k in range(6) for x in (0, 1)]
    [svg] = svgs(figure(lab_of(chapter, R5=rows), lines("R5", x="x", y="y", by="arm"), **TOLD))
    styles = re.findall(r'style="(fill: none;[^"]*stroke: #[^"]*)"', svg)
    dashes = {
        colour: {
            re.search(r"dasharray: ([^;]*)|$", style)[1] for style in styles if f"stroke: {colour};" in style
        }
        for colour in COLOURS
    }
    assert all(len(found) == 1 for found in dashes.values())
    assert len(set.union(*dashes.values())) == len(COLOURS) == 6


ROWS = [
    {"x": x, "y": 10.0 * x + severity, "arm": arm, "kind": kind, "severity": severity}
    for arm in "ab"
    for kind in ("blur", "fog", "rain")
    for severity in (1, 2)
    for x in (1, 10)
]


def made(drawing: Drawing) -> Figure:
    figure = Figure()
    drawing.draw(figure, ROWS)
    return figure


def test_lines_are_drawn_of_the_rows_that_are_chosen() -> None:
    chosen = {"kind": ["blur", "fog"], "severity": 2, "arm": "a"}
    figure = made(lines("R1", x="x", y="y", by="kind", where=chosen, log="x", ticks=(1, 10), ylabel="share"))
    [axes] = figure.axes
    assert [line.get_label() for line in axes.lines] == ["blur", "fog"]
    assert axes.lines[0].get_xydata().tolist() == [[1, 12], [10, 102]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "share")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "10"]
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["blur", "fog"]


def test_a_logarithmic_axis_of_less_than_two_decades_has_numbers() -> None:
    [axes] = made(lines("R1", x="x", y="y", by="kind", where={"severity": 2, "arm": "a"}, log="xy")).axes
    axes.figure.draw_without_rendering()
    [low, high] = axes.get_ylim()
    shown = [tick.label1.get_text() for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert shown == ["20", "50", "100"]
    assert not any(tick.label1.get_text() for tick in axes.yaxis.get_minor_ticks())


def test_ticks_of_x_leave_those_of_y() -> None:
    where = {"severity": 2, "arm": "a"}
    [axes] = made(lines("R1", x="x", y="y", by="kind", where=where, log="xy", ticks=(1, 10))).axes
    axes.figure.draw_without_rendering()
    assert not axes.xaxis.get_minorticklocs().size
    assert axes.yaxis.get_minorticklocs().size


def test_columns_are_bars_of_the_rows_that_are_chosen() -> None:
    drawing = columns("R1", x="arm", ys=["y", "severity"], where={"kind": "fog", "x": 1, "severity": (2,)})
    figure = made(drawing)
    [axes] = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [12, 12, 2, 2]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]
    assert axes.get_ylabel() == "y"
    assert len({to_hex(bar.get_facecolor()) for bar in axes.patches}) == 2
    assert len(figure.legends) == 1
    assert made(columns("R1", x="arm", ys=["y"])).legends == []
    assert made(lines("R1", x="x", y="y", by="arm", legend="")).legends == []


@pytest.mark.parametrize("legend", ["top", "right"])
def test_a_legend_lies_outside_of_the_axes(notebook: Lab, legend: Any) -> None:
    [svg, _] = svgs(figure(notebook, lines("R1", x="x", y="y", by="arm", legend=legend), **TOLD))
    assert re.findall(r">([ab])</text>", svg) == ["a", "b"]


def test_in_short_tells_what_the_records_say_and_how_long_it_took(
    page: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("labkit.show.short.display", shown.append)
    value = page.evidence()  # nothing is claimed
    made = in_short(page, CURVES, "The answer.", "More of it.", **TOLD)
    assert made is not None
    assert "<svg" in made.html()
    assert shown.pop().data == (
        '**In short.** <span class="lk-answer">The answer.</span> More of it.\n\n'
        '<span class="lk-counts">laptop, 2 seeds of 1 minutes on a processor, 2 threads</span>'
    )
    assert value.claims == []
    page.recorded = []
    assert in_short(page, CURVES, "The answer.", **TOLD) is None
    assert "No run of this chapter is recorded yet" in shown.pop().data

"""Everyone can read the pages, in both themes: an audit, and what an audit cannot see."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.lab.report import SIGNS
from labkit.show.figure import COLOURS

from . import axe
from .browser import Browser

THEMES = ("light", "dark")
BAD = """<!doctype html><html lang="en"><title>x</title><body style="background: #fff"><main><h1>x</h1>
<p style="color: #999">Too pale to be read.</p><img src="data:,"></main>"""


@pytest.fixture(scope="session")
def script(site: Path) -> str:
    return axe.script(site.parent)


def test_the_audit_sees_what_is_wrong(browser: Browser, script: str, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD)
    browser.base = f"{tmp_path.as_uri()}/"
    browser.open("bad.html")
    assert {finding.partition(":")[0] for finding in axe.serious(browser, script)} == {
        "color-contrast",
        "image-alt",
    }


# The signs of verdicts and the letters of figures: the audit passes over single characters and drawings.
# What is behind them is the colour of the nearest element around them that has one.
LETTERS = """const behind = element => {
    for (let at = element; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if (!colour.endsWith(', 0)')) return colour;
    }
    return 'rgb(255, 255, 255)';
};
const marks = [...document.querySelectorAll('article .lk-verdict')].map(
    mark => [mark.textContent, getComputedStyle(mark).color, behind(mark)]);
const letters = [...document.querySelectorAll('article svg[role=img] text')].map(
    text => [text.textContent, getComputedStyle(text).fill, behind(text)]);
return [...marks, ...letters]"""


@pytest.mark.parametrize("theme", THEMES)
def test_the_audit_finds_nothing_serious_and_signs_and_letters_stand_out(
    browser: Browser, pages: list[str], script: str, theme: str
) -> None:
    faults, seen = [], set()
    for page in pages:
        browser.open(page, theme=theme, unfold=True)
        assert browser.ask("return document.documentElement.dataset.theme") == theme
        letters = {tuple(letter) for letter in browser.ask(LETTERS)}
        seen |= {text for text, _, _ in letters}
        faults += [
            f"{page}: {text!r}, {ink} on {ground}: {contrast(ink, ground):.1f}"
            for text, ink, ground in sorted(letters)
            if contrast(ink, ground) < 4.5
        ]
        faults += [f"{page}: {finding}" for finding in axe.serious(browser, script)]
    assert not faults, "\n".join(faults)
    assert seen >= {f"{sign} {word}" for word, sign in SIGNS.items()}


@pytest.mark.parametrize("theme", THEMES)
def test_curves_stand_out(browser: Browser, theme: str) -> None:
    browser.open("book/intro.html", theme=theme)
    ground = browser.ask("return getComputedStyle(document.body).backgroundColor")
    for colour in COLOURS:
        inks = "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))
        assert contrast(inks, ground) >= 3, colour


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as the WCAG define it, 1 to 21."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert found, f"{colour} is no opaque colour"
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in _shares(found.groups())]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _shares(numbers: tuple[str, ...]) -> list[float]:
    return [int(number) / 255 for number in numbers]


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.005)


# An icon in a button is told by the name of the button, which the audit asks for.
PICTURES = """return [
    ...[...document.querySelectorAll('article img')].map(image => ['image', image.getAttribute('alt')]),
    ...[...document.querySelectorAll('article svg:not([aria-hidden=true], button svg)')].map(
        svg => [svg.matches('[role=img]') ? 'drawing' : 'no role', svg.getAttribute('aria-label')]),
]"""

# Each line of a figure as (its colour, its dashes).
# A path of two points is no curve: an interval, a reference, an edge of a diagram.
LINES = """return [...document.querySelectorAll('article svg[role=img]')].map(svg =>
    [svg.getAttribute('aria-label'), [...svg.querySelectorAll('path')]
        .filter(path => (path.getAttribute('d')?.match(/[LCQ]/g) || []).length > 1)
        .map(path => getComputedStyle(path))
        .filter(style => style.fill === 'none').map(style => [style.stroke, style.strokeDasharray])])"""


def test_every_picture_is_told_in_words_and_curves_of_two_colours_differ_in_their_dashes_too(
    browser: Browser, pages: list[str]
) -> None:
    palette = {"rgb({}, {}, {})".format(*bytes.fromhex(colour[1:])) for colour in COLOURS}
    faults, told, compared = [], 0, 0
    for page in pages:
        browser.open(page)
        for kind, words in browser.ask(PICTURES):
            told += 1
            file_name = re.search(r"\.(png|jpe?g|svg|gif|webp)$", words or "", re.IGNORECASE)
            if kind == "no role" or len((words or "").split()) < 4 or file_name:
                faults.append(f"{page}: {kind}: {words!r}")
        for figure, lines in browser.ask(LINES):
            colours: dict[str, set[str]] = {}
            for colour, dashes in lines:
                if colour in palette:
                    colours.setdefault(dashes, set()).add(colour)
            compared += len(colours) > 1
            faults += [
                f"{page}: {figure[:60]}: {sorted(names)} all have dashes {dashes}"
                for dashes, names in colours.items()
                if len(names) > 1
            ]
    assert not faults, "\n".join(faults)
    assert told > 0
    assert compared > 0

"""The control on the page about verdicts: it decides as the book does; without scripts a picture is there."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from scipy import special
from selenium.webdriver.common.keys import Keys

from labkit.lab.evidence import Evidence
from labkit.lab.quantities import column
from labkit.lab.record import Record
from labkit.lab.report import SIGNS, verdict
from labkit.source.files import PACKAGE

from .browser import PHONE, Browser, chromium

BOOK = PACKAGE.parent / "book"
TEXT = (BOOK / "verdicts.md").read_text(encoding="utf-8")
MOVE = """for (const [name, value] of Object.entries(arguments[0])) {
    const input = document.querySelector(`#lk-verdict input[name=${name}]`);
    input.value = value;
    input.dispatchEvent(new Event('input'));
}
return document.querySelector('.lk-outcome').textContent"""
PICTURE = """const parts = ['#lk-verdict svg', '.lk-outcome'].map(x => document.querySelector(x).outerHTML);
return parts.join('').replace(/>\\s+</g, '><')"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The control alone, as it stands in the page, with its script."""
    folder = tmp_path_factory.mktemp("verdict")
    shutil.copy(BOOK / "_static/verdict.js", folder)
    [html] = re.findall(r"```\{raw\} html\n(.*?)```", TEXT, re.DOTALL)
    for name, text in (("with", html), ("without", re.sub(r"<script.*?</script>", "", html))):
        text = text.replace("../_static/", "")
        (folder / f"{name}.html").write_text(
            f'<!doctype html><meta charset="utf-8"><title>x</title>{text}', encoding="utf-8"
        )
    with chromium() as driver:
        browser = Browser(driver, f"{folder.as_uri()}/")
        browser.open("with.html", PHONE)
        assert browser.faults() == []
        yield browser


def decided(effect: float, spread: float, seeds: int, margin: float) -> tuple[Any, float, float, float]:
    """Return what the book says of effects with this mean and standard deviation: word, p, interval."""
    at = [k - (seeds - 1) / 2 for k in range(seeds)]
    unit = math.sqrt(sum(x * x for x in at) / (seeds - 1))
    made = [
        Record("p00", "laptop", seed, rows={"R1": [{"effect": effect + spread * x / unit}]})
        for seed, x in enumerate(at)
    ]
    evidence = Evidence()
    evidence.claim("R1", "It is above zero", column("R1", "effect", unit="")() > 0, within=margin or None)
    [found] = evidence.judge(made).values()
    return found.verdict, found.p, found.effect.low, found.effect.high


def test_student_s_t_is_that_of_scipy(page: Browser) -> None:
    found = page.ask(
        "return Array.from({length: 29}, (_, k) => [tQuantile(0.975, k + 1), tQuantile(0.995, k + 1),"
        " tBelow(-2.5, k + 1), tBelow(0, k + 1), tBelow(0.7, k + 1)])"
    )
    for k, values in enumerate(found):
        freedom = k + 1
        expected = [special.stdtrit(freedom, share) for share in (0.975, 0.995)]
        expected += [special.stdtr(freedom, t) for t in (-2.5, 0, 0.7)]
        assert values == pytest.approx(expected, rel=1e-9), f"{freedom} degrees of freedom"


def test_every_setting_gets_the_verdict_of_the_book(page: Browser) -> None:
    settings = [
        (effect, spread, seeds, margin)
        for effect in (-3.0, -1.0, -0.2, 0.0, 0.1, 0.5, 1.0, 2.0)
        for spread in (0.0, 0.3, 0.8, 1.5, 4.0)
        for seeds in (2, 3, 8, 30)
        for margin in (0.0, 0.5, 2.0)
    ]
    found = page.ask("return arguments[0].map(setting => judged(...setting))", settings)
    seen = set()
    for setting, told in zip(settings, found, strict=True):
        word, p, low, high = decided(*setting)
        assert told["verdict"] == word, setting
        assert [told["p"], told["low"], told["high"]] == pytest.approx([p, low, high], rel=1e-6, abs=1e-9)
        seen.add(word)
    assert seen == {"supported", "contradicted", "no difference", "undecided"}


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        ({}, "✓ supported +1.00 [+0.33, +1.67] points, p = 0.010"),
        ({"effect": -1}, "✗ contradicted −1.00 [−1.67, −0.33] points, p = 0.010"),
        ({"effect": 0.1, "spread": 0.3}, "= no difference +0.10 [−0.15, +0.35] points"),
        ({"effect": 0.1, "spread": 0.3, "margin": 0}, "? undecided +0.10 [−0.15, +0.35] points"),
        ({"effect": 3, "seeds": 30}, "✓ supported +3.00 [+2.70, +3.30] points, p below 0.001"),
    ],
)
def test_what_is_moved_is_said_and_drawn(page: Browser, moved: dict[str, float], told: str) -> None:
    first = {"effect": 1, "spread": 0.8, "seeds": 8, "margin": 0.5}
    page.ask(MOVE, first)
    before = page.ask(PICTURE)
    assert page.ask(MOVE, moved).startswith(told)
    picture = page.ask(PICTURE)
    assert (picture == before) == (moved == {})
    assert told.partition(" [")[0].split()[-1] in picture.partition("</svg>")[0]  # for who cannot see it
    assert picture.count('cy="34"') == (first | moved)["seeds"]


def test_it_moves_by_keyboard_and_has_names(page: Browser) -> None:
    page.open("with.html", PHONE)
    names = "[...document.querySelectorAll('#lk-verdict input')].map(x => x.labels[0].firstChild.textContent)"
    assert page.ask(f"return {names}") == [
        "Mean effect",
        "Standard deviation over seeds",
        "Seeds",
        "Margin (0: none)",
    ]
    page.ask("document.querySelector('[name=seeds]').focus()")
    page.press(Keys.ARROW_LEFT)
    assert page.ask("return document.querySelector('[name=seeds]').value") == "7"
    assert "[+0.26, +1.74]" in page.ask("return document.querySelector('.lk-outcome').textContent")


def test_without_scripts_the_first_picture_is_there(page: Browser) -> None:
    page.open("without.html")
    without = page.ask(PICTURE)
    page.open("with.html")
    assert page.ask(PICTURE) == without


def test_the_page_explains_each_word_as_it_looks_elsewhere() -> None:
    assert [word for word in SIGNS if f"| {verdict(word)} |" not in TEXT] == []


def test_the_example_by_hand_is_right() -> None:
    values = [0.2, 1.6, 0.9, -0.3, 1.4, 2.2, 0.7, 1.3]
    assert r" \quad ".join(f"{value:g}" for value in values) in TEXT
    mean = sum(values) / 8
    squares = sum((value - mean) ** 2 for value in values)
    error = math.sqrt(squares / 7 / 8)
    t = float(special.stdtrit(7, 0.975))
    assert (round(mean, 9), round(squares, 9)) == (1.0, 4.48)
    for number in (f"{t:.3f}", f"{error:.3f}", f"[{mean - t * error:.2f},\\; {mean + t * error:.2f}]"):
        assert number in TEXT

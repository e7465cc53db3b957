"""Without a network every page is whole, from the file system and from a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from .browser import PHONE, Browser

BROKEN = """<!doctype html><title>x</title><h1>x</h1><script src="https://example.org/x.js"></script>
<img src="gone.png" alt=""><script>console.error("told"); nothing.here()</script>"""


def test_what_is_wrong_with_a_page_is_seen(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "broken.html").write_text(BROKEN)
    browser.base = f"{tmp_path.as_uri()}/"
    browser.open("broken.html")
    faults = "\n".join(browser.faults())
    for fault in ("asks for https://example.org/x.js", "gone.png: net::", '"told"', "nothing is not defined"):
        assert fault in faults
    assert browser.faults() == []


def test_every_page_loads_whole_and_asks_for_nothing_else(anywhere: Browser, pages: list[str]) -> None:
    faults = []
    for page in pages:
        anywhere.open(page, unfold=True)
        faults += [f"{page}: {fault}" for fault in anywhere.faults()]
        if not anywhere.ask(
            "const h1 = document.querySelector('article h1, .bd-search-container h1');"
            "return h1 && h1.checkVisibility() && h1.innerText.trim()"
        ):
            faults.append(f"{page}: shows no heading")
        pictures = "[...document.images].filter(image => !image.complete || !image.naturalWidth)"
        faults += [f"{page}: empty picture {x}" for x in anywhere.ask(f"return {pictures}.map(x => x.src)")]
    assert not faults, "\n".join(faults)


SIZES = """return [...document.querySelectorAll('article math')].map(
    formula => [formula.getBoundingClientRect(), formula.textContent]).map(
    ([box, text]) => [box.width, box.height, text])"""
# What a formula looks like that nobody has drawn.
RAW = r"""const text = document.querySelector('main').cloneNode(true);
text.querySelectorAll('pre, code, script, style').forEach(part => part.remove());
return text.textContent.match(/\$\$|\\\(|\\\[|\\(frac|sum|mathbb|begin)\b/)"""


def test_every_formula_is_drawn(browser: Browser, pages: list[str]) -> None:
    faults, formulas = [], 0
    for page in pages:
        browser.open(page, unfold=True)
        for width, height, text in browser.ask(SIZES):
            formulas += 1
            if width < 3 or height < 3:
                faults.append(f"{page}: {text} takes {width} x {height} pixels")
        if raw := browser.ask(RAW):
            faults.append(f"{page}: LaTeX is left in the text: {raw[0]}")
    assert not faults, "\n".join(faults)
    assert formulas > 0


def test_the_start_page_leads_into_the_book(anywhere: Browser) -> None:
    anywhere.driver.get(f"{anywhere.base}index.html")
    WebDriverWait(anywhere.driver, 10).until(lambda driver: driver.current_url.endswith("book/intro.html"))
    anywhere.settle()
    assert anywhere.faults() == []


def test_the_button_changes_the_theme_and_the_next_page_remembers(anywhere: Browser) -> None:
    seen = {}
    for _ in range(4):
        anywhere.open("book/intro.html")
        anywhere.ask("document.querySelector('.theme-switch-button').focus()")
        anywhere.press(Keys.ENTER)
        chosen = anywhere.ask("return document.documentElement.dataset.mode")
        anywhere.open("book/references.html")
        assert anywhere.ask("return document.documentElement.dataset.mode") == chosen
        seen[chosen] = anywhere.ask("return getComputedStyle(document.body).backgroundColor")
    assert set(seen) == {"light", "dark", "auto"}
    assert seen["light"] == "rgb(255, 255, 255)"
    assert max(map(int, seen["dark"][4:-1].split(","))) < 64


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_visit_has_the_theme_of_the_system(browser: Browser, theme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        browser.open("book/intro.html")
        assert browser.ask("return {...document.documentElement.dataset}.theme") == theme
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_without_scripts_a_page_has_its_colours(browser: Browser) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.driver.get(f"{browser.base}book/intro.html")
        ground = browser.ask(
            "return getComputedStyle(document.body).getPropertyValue('--pst-color-background')"
        )
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert ground == "#fff"


def test_the_search_finds_a_word_of_a_chapter(anywhere: Browser) -> None:
    anywhere.open("book/intro.html")
    anywhere.ask("document.querySelector('.search-button__button').click()")
    anywhere.press("gradient" + Keys.ENTER)
    status = "return document.querySelector('#search-results .search-summary')?.innerText ?? ''"
    WebDriverWait(anywhere.driver, 10).until(lambda driver: "found" in anywhere.ask(status))
    links = anywhere.ask("return [...document.querySelectorAll('ul.search a')].map(link => link.href)")
    chapter = next(link for link in links if "/book/training/p22-vanishing-gradients.html" in link)
    anywhere.driver.get(chapter)
    anywhere.settle()
    assert "gradient" in anywhere.ask("return document.querySelector('article').innerText")
    assert anywhere.faults() == []


def test_a_word_that_is_nowhere_finds_nothing(browser: Browser) -> None:
    browser.open("search.html?q=xylophonist")
    status = "return document.querySelector('#search-results .search-summary')?.innerText ?? ''"
    WebDriverWait(browser.driver, 10).until(lambda driver: browser.ask(status))
    assert "did not match any documents" in browser.ask(status)
    assert browser.ask("return document.querySelectorAll('ul.search a').length") == 0


def test_no_page_scrolls_sideways_on_a_phone(browser: Browser, pages: list[str]) -> None:
    faults = []
    for page in pages:
        browser.open(page, PHONE)
        for form in ("as it opens", "unfolded"):
            if form == "unfolded":
                browser.unfold()
            # A phone zooms out of a page that is too wide, so its inner width would tell nothing.
            width = browser.ask("return document.documentElement.scrollWidth")
            if width > PHONE[0]:
                faults.append(f"{page} {form}: {width} pixels wide")
    assert not faults, "\n".join(faults)

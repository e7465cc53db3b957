"""Whatever can be moved on a page moves, by keyboard alone: the controls of chapters."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from labkit.chapters.chapter import chapters
from labkit.lab.record import best_records
from labkit.source.files import PACKAGE

from .browser import Browser

# Groups of radio buttons that stand beside the panels they choose from; the first button of each.
GROUPS = """const seen = new Set();
return [...document.querySelectorAll(`${arguments[0]} input[type=radio]`)].filter(
    radio => !seen.has(radio.name) && seen.add(radio.name))"""
# A control may lie in a panel that is not chosen, or be folded away.
REVEAL = """document.querySelectorAll('details').forEach(fold => fold.open = true);
for (let at = arguments[0].parentElement.parentElement; at; at = at.parentElement)
    if (getComputedStyle(at).display === 'none') at.style.display = 'block';
arguments[0].parentElement.scrollIntoView()"""
FOCUS = """const group = [...document.getElementsByName(arguments[0].name)];
const chosen = group.find(x => x.checked);
chosen.focus(); return [document.activeElement === chosen, group.length]"""
SHOWN = """return [...arguments[0].parentElement.querySelectorAll(':scope > div')].filter(
    panel => panel.checkVisibility())"""
# What a panel shows: its text and drawings, without the names, which differ though nothing else may do so.
CONTENT = """const copy = arguments[0].cloneNode(true);
copy.querySelectorAll('style').forEach(style => style.remove());
for (const part of copy.querySelectorAll('*'))
    for (const name of ['id', 'for', 'name', 'alt', 'aria-label', 'clip-path', 'href', 'xlink:href'])
        if (!part.getAttribute(name)?.startsWith('data:'))  // which is a picture
            part.removeAttribute(name);
return copy.innerHTML"""
OUTLINE = "return getComputedStyle(document.activeElement.labels[0]).outlineStyle"


def moved(browser: Browser, first: WebElement) -> list[str]:
    """Move the group of the radio button `first` once round, and return what is wrong with it."""
    name = first.get_attribute("name")
    browser.ask(REVEAL, first)
    has_focus, count = browser.ask(FOCUS, first)
    if not has_focus:
        return [f"{name}: the keyboard does not reach it"]
    if count < 2:
        return [f"{name}: has nothing to choose"]
    faults = []
    start = before = _shown(browser, first)
    for step in range(1, count + 1):
        browser.press(Keys.ARROW_RIGHT)
        after = _shown(browser, first)
        if len(after) != 1:
            faults.append(f"{name}: step {step} of {count} leads to {len(after)} panels at once")
        elif any(panel in before or content in before.values() for panel, content in after.items()):
            faults.append(f"{name}: step {step} of {count} changes nothing that is seen")
        if browser.ask(OUTLINE) == "none":
            faults.append(f"{name}: step {step} of {count} does not show where the keyboard is")
        before = after
    if before != start:
        faults.append(f"{name}: once round does not lead back to the start")
    return faults


def _shown(browser: Browser, first: WebElement) -> dict[str, str]:
    """Return the content of each panel that is shown."""
    panels: list[WebElement] = browser.ask(SHOWN, first)
    return {panel.id: browser.ask(CONTENT, panel) for panel in panels}


def test_everything_that_can_be_moved_changes_what_is_seen(browser: Browser, pages: list[str]) -> None:
    faults, groups = [], 0
    # A chapter without records shows a small run, whose frames may well be alike.
    there = chapters(PACKAGE.parent)
    small = {each.slug for each in there if not best_records(each, PACKAGE.parent / "results")}
    for page in pages:
        if Path(page).stem in small:
            continue
        browser.open(page)
        for first in browser.ask(GROUPS, ".lk-tabs"):
            groups += 1
            faults += [f"{page}: {fault}" for fault in moved(browser, first)]
    assert not faults, "\n".join(faults)
    assert groups > 0


def test_every_chapter_has_a_control(browser: Browser) -> None:
    without = []
    for chapter in chapters(PACKAGE.parent):
        browser.open(f"{chapter.page}.html")
        if not browser.ask("return document.querySelector('.lk-control input[type=radio]')"):
            without.append(chapter.slug)
    assert not without, f"no control in {without}"


DEAD = """<!doctype html><title>x</title><style>.p{{display:none}} #a:checked~#p-a{{display:block}}
#b:checked~#p-b{{display:block}} input:focus-visible+label{{outline:2px solid red}}</style>
<div class="lk-tabs"><input type="radio" name="g" id="a" checked><label for="a">A</label>
<input type="radio" name="g" id="b"{off}><label for="b">B</label>
<div class="p" id="p-a">one</div><div class="p" id="p-b">{two}</div></div>"""


@pytest.mark.parametrize(
    ("two", "off", "fault"),
    [("two", "", None), ("one", "", "changes nothing that is seen"), ("two", " disabled", "changes nothing")],
)
def test_a_control_that_does_not_move_is_found(
    browser: Browser, tmp_path: Path, two: str, off: str, fault: str | None
) -> None:
    (tmp_path / "dead.html").write_text(DEAD.format(two=two, off=off))
    browser.base = f"{tmp_path.as_uri()}/"
    browser.open("dead.html")
    [first] = browser.ask(GROUPS, ".lk-tabs")
    found = moved(browser, first)
    assert (found == []) if fault is None else any(fault in line for line in found)

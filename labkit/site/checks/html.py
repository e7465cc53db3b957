"""Reading a built page: its text, links, anchors and pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

# The attribute in which an element has an address.
LINKS = {"a": "href", "link": "href", "form": "action", "object": "data"} | dict.fromkeys(
    ("img", "script", "iframe", "source", "video", "audio", "track", "embed"), "src"
)
LEADING = ("a", "form", "link")
# A <link> brings something into the page if it is one of these, and leads somewhere otherwise.
BRINGING = {"stylesheet", "icon", "apple-touch-icon", "manifest", "preload", "modulepreload", "preconnect"}
REMOTE_STYLE = re.compile(r"""(?:\burl\(\s*["']?|@import\s*["'])((?:https?:)?//[^"')\s]+)""")
SILENT = ("h1", "script", "style")


@dataclass
class Page:
    """What the checks need of a page.

    Attributes:
        text: the words of the article, without its title and the navigation around it.
        links: every address the page refers to, whatever for.
        resources: those of them that a browser fetches to show the page: scripts, styles, pictures.
        anchors: the ids and names that a link may lead to.
        pictures: of the article, as (what it is, its description or "").
        icon: the address of the picture that stands for the page, "" where it names none.
    """

    text: str = ""
    links: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    icon: str = ""


def read_page(path: Path) -> Page:
    """Return what is on the page at `path`."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    reader.page.text = " ".join(" ".join(reader.words).split())
    return reader.page


def remote_in_style(text: str) -> list[str]:
    """Return the addresses on other servers that a style sheet fetches."""
    return REMOTE_STYLE.findall(text)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.words: list[str] = []
        self.articles = 0  # how many <article> are open here
        self.in_style = False
        self.silent = False  # inside a title, script or style: none of them says anything to a reader

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.page.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        self._refer(tag, values)
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.page.links.append(values.get("content", "").partition("url=")[2])
        self.in_style = tag == "style"
        if tag == "article":
            self.articles += 1
        elif tag in SILENT:
            self.silent = True
        elif self.articles and tag == "img":
            self.page.pictures.append((values.get("src", "an image")[:80], values.get("alt", "")))
        elif self.articles and tag == "svg" and values.get("role") == "img":
            self.page.pictures.append(("a drawing", values.get("aria-label", "")))

    def _refer(self, tag: str, values: dict[str, str]) -> None:
        """Note what the element refers to."""
        found = [values[attribute]] if (attribute := LINKS.get(tag)) in values else []
        # Each picture in a srcset is an address and, after a space, for which screens it is.
        found += [part.split()[0] for part in values.get("srcset", "").split(", ") if part.strip()]
        self.page.links += found
        role = set(values.get("rel", "").lower().split())
        if "icon" in role:
            self.page.icon = values.get("href", "")
        if tag not in LEADING or BRINGING & role:
            self.page.resources += found
        self.page.resources += remote_in_style(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False
        if tag == "article":
            self.articles -= 1
        elif tag in SILENT:
            self.silent = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.page.resources += remote_in_style(data)
        if self.articles and not self.silent:
            self.words.append(data)

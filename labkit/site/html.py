"""Reading a built page: its text, links, anchors and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "iframe": "src", "source": "src"}
SILENT = ("h1", "script", "style")


@dataclass
class Page:
    """What the checks need of a page.

    Attributes:
        text: the words of the article, without its title and the navigation around it.
        links: every address the page refers to, whatever for.
        anchors: the ids and names that a link may lead to.
        pictures: of the article, as (what it is, its description or "").
    """

    text: str = ""
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    pictures: list[tuple[str, str]] = field(default_factory=list)


def read_page(path: Path) -> Page:
    """Return what is on the page at `path`."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    reader.page.text = " ".join(" ".join(reader.words).split())
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.words: list[str] = []
        self.articles = 0  # how many <article> are open here
        self.silent = False  # inside a title, script or style: none of them says anything to a reader

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.page.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        if (link := values.get(LINKS.get(tag, ""))) is not None:
            self.page.links.append(link)
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.page.links.append(values.get("content", "").partition("url=")[2])
        if tag == "article":
            self.articles += 1
        elif tag in SILENT:
            self.silent = True
        elif self.articles and tag == "img":
            self.page.pictures.append((values.get("src", "an image")[:80], values.get("alt", "")))
        elif self.articles and tag == "svg" and values.get("role") == "img":
            self.page.pictures.append(("a drawing", values.get("aria-label", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.articles -= 1
        elif tag in SILENT:
            self.silent = False

    def handle_data(self, data: str) -> None:
        if self.articles and not self.silent:
            self.words.append(data)

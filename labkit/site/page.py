"""The last touch on each page: what extensions put there and a reader is better without."""

from __future__ import annotations

import hashlib
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.nodes import document
from sphinx.application import Sphinx

from labkit.source.meaning import digest

# Each is found by the accessibility audit in tests/pages when the package that writes it changes its mind.
REPLACED = {
    # MyST-NB: what is read out should be what is seen, "Show code cell source" and the like.
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # Sphinx: a formula that is wider than the page scrolls in its box, by keyboard as well.
    '<div class="math notranslate nohighlight"': '<div tabindex="0" class="math notranslate nohighlight"',
    # Docutils: a deprecated role, which a list may not hold.
    ' role="doc-biblioentry"': ' role="listitem"',
}
WIDE = 4  # columns of a table that a telephone shows row by row


def setup_page(app: Sphinx) -> None:
    """Connect the hooks; when code of the site, a style or a template changed, all pages are written again.

    Sphinx copies styles and scripts only where it writes a page.
    """
    files = sorted(Path(__file__).parent.rglob("*.py"))
    for folder in ("book/_static", "book/_templates"):
        files += sorted(path for path in Path(app.srcdir, folder).rglob("*") if path.is_file())
    made_by = digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    app.add_config_value("labkit_site", made_by, "html")
    app.connect("doctree-read", inline_drawings)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", replace, priority=900)
    app.connect("html-page-context", label_cells, priority=900)


def inline_drawings(app: Sphinx, doctree: document) -> None:
    """Put the drawings in `book/_static/figures` into the page itself, whose colours they then take."""
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        if path.suffix == ".svg" and path.parent.name == "figures":
            text = path.read_text(encoding="utf-8")
            head = text[text.index("<svg") : text.index(">", text.index("<svg"))]
            head = re.sub(r' (?:role|aria-labelledby|aria-label|width|height)="[^"]*"', "", head)
            said = f'role="img" aria-label="{escape(image.get("alt", ""))}"'
            body = text[text.index(">", text.index("<svg")) :]
            drawing = f'{head} {said} style="width:100%;max-width:720px"{body}'
            image.replace_self(nodes.raw("", drawing, format="html"))


def drop_thebe(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave out the scripts that jupyter-book adds for thebe, which this book has no button for.

    They come twice, which is an error in the console, and name a host to load from.
    """
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file for file in context[kind] if "thebe" not in f"{file.filename} {file.attributes}".lower()
        ]


def replace(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Make the replacements in the text of the page."""
    for old, new in REPLACED.items():
        if old in context.get("body", ""):
            context["body"] = context["body"].replace(old, new)


def label_cells(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Have each cell of a wide table name its column, for screens where the heads are out of sight."""
    context["body"] = re.sub(r"<table.*?</table>", _labelled, context.get("body", ""), flags=re.DOTALL)


def _labelled(table: re.Match[str]) -> str:
    heads = re.findall(r"<th\b.*?</th>", table[0], re.DOTALL)
    if len(heads) < WIDE:
        return table[0]

    def labelled(row: re.Match[str]) -> str:
        labels = (re.sub(r"<[^>]+>", "", head).strip() for head in heads)
        return re.sub(r"<td\b", lambda _: f'<td data-label="{next(labels, "")}"', row[0])

    wide = table[0].replace('<table class="', '<table class="lk-wide ', 1)
    return re.sub(r"<tr\b.*?</tr>", labelled, wide, flags=re.DOTALL)

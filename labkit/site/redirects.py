"""Pages that have moved: at each old address a small page leads on to the new one.

`book/redirects.yml` has a line for each, `old page: new page`, with pages named as in `_toc.yml`. The start
page, `index.html`, leads on to the first page of the book in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from html import escape
from pathlib import Path

import yaml
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError

from labkit.errors import LabkitError

FILE = "book/redirects.yml"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={link}">
<link rel="icon" href="{icon}">
<link rel="canonical" href="{link}">
<title>{title}</title>
</head>
<body>
<p>This page has moved to <a href="{link}">{title}</a>.</p>
</body>
</html>
"""


class WrongRedirect(SphinxError):
    """`book/redirects.yml` has faults; the message has a line for each."""

    category = "Wrong redirect"


def setup_redirects(app: Sphinx) -> None:
    """Have the redirects checked when all pages are known, and written when all pages are."""
    app.connect("env-updated", check_redirects)
    app.connect("build-finished", write_redirects)


def read_redirects(root: Path) -> dict[str, str]:
    """Return old page → new page; empty where the book has no `book/redirects.yml`.

    Raises LabkitError where the file is not such a mapping, or an old page could not be one of the book.
    """
    path = root / FILE
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise LabkitError(f"{FILE} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(
        isinstance(page, str) for line in content.items() for page in line
    ):
        raise LabkitError(f"{FILE} needs lines `old page: new page`, with pages as in _toc.yml")
    for old in content:
        if not re.fullmatch(r"book(/[\w-]+)+", old):
            raise LabkitError(f"{FILE}: {old!r} names no page; a page is called book/name, without .md")
    return content


def wrong_redirects(redirects: Mapping[str, str], living: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with `redirects` in a book whose pages are `living`."""
    for old, new in redirects.items():
        if old in living:
            yield f"{FILE}: {old} is a page of the book and cannot lead on to {new}"
        elif new not in living:
            yield f"{FILE}: {old} leads to {new}, which is no page of the book"


def check_redirects(app: Sphinx, env: BuildEnvironment) -> None:
    """Raise WrongRedirect for an old page that is there, or a new one that is not."""
    try:
        faults = list(wrong_redirects(read_redirects(Path(app.srcdir)), env.found_docs))
    except LabkitError as error:
        faults = [str(error)]
    if faults:
        raise WrongRedirect("\n".join(faults))


def write_redirects(app: Sphinx, exception: Exception | None) -> None:
    """Write a page for each redirect, and the start page, into the finished site.

    Each names the icon of the site: for a page without one, a browser asks the server for `/favicon.ico`.
    """
    if exception or app.builder.format != "html":
        return
    icon = f"_static/{Path(app.config.html_favicon).name}"
    start = {} if "index" in app.env.found_docs else {"index": app.config.root_doc}
    for old, new in (start | read_redirects(Path(app.srcdir))).items():
        path = Path(app.outdir, f"{old}.html")
        path.parent.mkdir(parents=True, exist_ok=True)
        link, title = app.builder.get_relative_uri(old, new), app.env.titles[new].astext()
        up = "../" * old.count("/")
        page = PAGE.format(icon=escape(up + icon), link=escape(link), title=escape(title))
        path.write_text(page, encoding="utf-8")

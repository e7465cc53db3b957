"""A site built by Sphinx with the book's extension: what jupyter-book adds is not needed."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from html import unescape
from pathlib import Path

from sphinx.cmd.build import build_main

CONFIG = """
extensions = ["myst_nb", "labkit.site.extension"]
root_doc = "book/intro"
exclude_patterns = ["results", "_build"]
nb_execution_mode = "off"
html_theme = "basic"
html_favicon = "mark.svg"
"""


def write_pages(root: Path, pages: Mapping[str, str]) -> None:
    """Write a book whose pages, by name, are all named in the first, `intro`."""
    (root / "conf.py").write_text(CONFIG)
    (root / "requirements.txt").write_text("")
    (root / "mark.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    names = [name for name in pages if name != "intro"]
    toc = "".join(f"- file: book/{name}\n" for name in names)
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/intro\nchapters:\n{toc}")
    contents = "\n\n```{toctree}\n" + "\n".join(names) + "\n```\n"
    for name, text in pages.items():
        path = root / f"book/{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + contents * (name == "intro"))


def build(root: Path) -> tuple[int, set[str], str]:
    """Build the site; return the exit status, the pages that were read, and what was said on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = build_main(["-b", "html", "-W", "--keep-going", str(root), str(root / "_build/html")])
    plain = [re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()) for stream in (out, err)]
    return code, set(re.findall(r"reading sources\.\.\. \[\s*\d+%\] (\S+)", plain[0])), plain[1]


def text_of(root: Path, page: str) -> str:
    """Return the words of a built page."""
    html = (root / f"_build/html/book/{page}.html").read_text(encoding="utf-8")
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())

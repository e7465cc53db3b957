"""What the book asks of Sphinx beyond Jupyter Book: a cache that sees code, loud failures, right buttons.

`_config.yml` names this module under `local_extensions`, so that plain `jupyter-book build .` has it too.

The stock execution cache keys on a chapter's cells and its kernelspec. So the kernelspec gets one more entry,
`labkit`: a digest of everything else that a chapter's outputs depend on. Sphinx keeps the kernelspec of each
page, and there the next build finds the digest to compare with.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import yaml
from docutils.nodes import container, document
from jupyter_cache import get_cache
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from labkit.chapters.cells import TAG
from labkit.chapters.chapter import Chapter, chapters
from labkit.site.directives.datasets import setup_datasets
from labkit.site.directives.pretrained import setup_pretrained
from labkit.site.directives.scoreboard import setup_scoreboard
from labkit.site.failures import executed_notebook, setup_failures
from labkit.site.maths import setup_maths
from labkit.site.page import setup_page
from labkit.site.redirects import setup_redirects
from labkit.source.files import PACKAGE
from labkit.source.meaning import digest
from labkit.source.modules import modules_used

SOLUTION = ("Show the solution", "Hide the solution")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the hooks; called by Sphinx."""
    app.connect("env-get-outdated", changed_chapters)
    app.connect("source-read", add_key)
    app.connect("doctree-read", keep_outputs)
    app.connect("doctree-read", fold_solutions)
    # After the theme has made its buttons, at 501.
    app.connect("html-page-context", open_notebooks, priority=900)
    setup_maths(app)
    setup_page(app)
    setup_scoreboard(app)
    setup_datasets(app)
    setup_failures(app)
    setup_pretrained(app)
    setup_redirects(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def chapter_key(chapter: Chapter) -> str:
    """Return the digest of what a chapter's outputs depend on, beside its own cells.

    That is the text of every labkit module it uses, its recorded runs, and the pinned packages.
    """
    return digest(_dependencies(chapter))


def _dependencies(chapter: Chapter) -> Iterator[str]:
    cells = [cell.source for cell in chapter.read().cells if cell.cell_type == "code"]
    try:
        modules = list(modules_used(filter(_is_python, cells)).values())
    except SyntaxError:
        # A module that cannot be read: executing the chapter will show which and where.
        modules = sorted(PACKAGE.rglob("*.py"))
    for path in modules:
        yield f"{path.relative_to(PACKAGE)}\n{path.read_text(encoding='utf-8')}"
    records = chapter.root / "results" / chapter.slug
    for path in sorted(records.rglob("*")):
        if path.is_file():
            yield f"{path.relative_to(records)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    yield (chapter.root / "requirements.txt").read_text(encoding="utf-8")


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def changed_chapters(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Return the chapters whose key is not the one they were last read with."""
    outdated = []
    for chapter in chapters(Path(app.srcdir)):
        name = chapter.page
        kernelspec: dict[str, str] = env.metadata.get(name, {}).get("kernelspec", {})
        if kernelspec.get("labkit") != chapter_key(chapter):
            outdated.append(name)
    return outdated


def add_key(app: Sphinx, docname: str, content: list[str]) -> None:
    """Add the chapter's key to the kernelspec in its front matter; leave pages without a kernel alone."""
    opening, _, rest = content[0].partition("\n")
    front, closing, body = rest.partition("\n---\n")
    if opening.rstrip() != "---" or not closing:
        return
    fields = yaml.safe_load(front)
    if "kernelspec" not in fields:
        return
    _, *part, slug = docname.split("/")
    chapter = Chapter(slug, Path(app.srcdir), "/".join(part))
    fields["kernelspec"]["labkit"] = chapter_key(chapter)
    # JSON is YAML on one line; blank lines keep the line numbers of what follows.
    content[0] = "---\n" + json.dumps(fields, default=str) + "\n" * front.count("\n") + closing + body


def keep_outputs(app: Sphinx, doctree: document) -> None:
    """Put the outputs into the chapter's notebook in `jupyter_execute`, which readers download.

    MyST-NB writes it without them whenever they come from the cache.
    """
    path = executed_notebook(app, app.env.docname)
    if path.is_file():
        cache = get_cache(app.env.mystnb_config.execution_cache_path)  # type: ignore[attr-defined]
        with suppress(KeyError):  # a chapter that failed is not in the cache
            _, notebook = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
            nbformat.write(notebook, path)


def fold_solutions(app: Sphinx, doctree: document) -> None:
    """Fold the code of exercise cells: a page shows the task and the checker's verdict on the solution."""
    for cell in doctree.findall(container):
        if f"tag_{TAG}" in cell["classes"]:
            cell["hide_mode"], cell["prompt_show"], cell["prompt_hide"] = "input", *SOLUTION


def open_notebooks(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Point the launch buttons of a chapter to `notebooks/<slug>.ipynb`; edit and source links stay."""
    notebook = f"notebooks/{Path(pagename).name}.ipynb"
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                if "url" in button:
                    button["url"] = button["url"].replace(f"{pagename}.md", notebook)

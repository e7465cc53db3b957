"""What the book asks of Sphinx beyond Jupyter Book: a cache that sees code, loud failures, right buttons.

`_config.yml` names this module under `local_extensions`, so that plain `jupyter-book build .` has it too.

The stock execution cache keys on a chapter's cells and its kernelspec. So the kernelspec gets one more entry,
`labkit`: a digest of everything else that a chapter's outputs depend on. Sphinx keeps the kernelspec of each
page, and there the next build finds the digest to compare with.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from docutils.nodes import container, document
from jupyter_cache import get_cache
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

from labkit.chapters.cells import TAG
from labkit.chapters.chapter import Chapter, chapters
from labkit.lab.declared import TAG as CLAIMS
from labkit.site.directives.datasets import setup_datasets
from labkit.site.directives.pretrained import setup_pretrained
from labkit.site.directives.scoreboard import setup_scoreboard
from labkit.site.execute import execute_outdated
from labkit.site.failures import setup_failures
from labkit.site.home import setup_home
from labkit.site.keys import chapter_key, keyed
from labkit.site.maths import setup_maths
from labkit.site.page import setup_page
from labkit.site.redirects import setup_redirects
from labkit.site.rows import write_rows

# What the line of a folded cell says, by its tag; for others see `nb_code_prompt_show` in _config.yml.
PROMPTS = {
    TAG: "the solution",
    CLAIMS: "the claims as code",
    "parameters": "the parameters",
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the hooks; called by Sphinx."""
    app.connect("config-inited", number_no_pictures, priority=900)
    app.connect("env-get-outdated", changed_chapters)
    app.connect("env-before-read-docs", execute_outdated)
    app.connect("source-read", add_key)
    app.connect("doctree-read", keep_outputs)
    app.connect("doctree-read", fold_cells)
    app.connect("doctree-read", raise_in_short)
    app.connect("build-finished", write_rows)
    setup_failures(app)
    setup_home(app)
    setup_maths(app)
    setup_page(app)
    setup_scoreboard(app)
    setup_datasets(app)
    setup_pretrained(app)
    setup_redirects(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def number_no_pictures(app: Sphinx, config: Config) -> None:
    """Leave drawn pictures without a number: the figures of a chapter have some, which start at one.

    sphinx-jupyterbook-latex, which Jupyter Book brings along, has set `numfig` against the configuration.
    """
    config.numfig = False


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
    _, *part, slug = docname.split("/")
    content[0] = keyed(Chapter(slug, Path(app.srcdir), "/".join(part)), content[0])


def keep_outputs(app: Sphinx, doctree: document) -> None:
    """Put the outputs into the chapter's notebook in `jupyter_execute`, from which the site is checked.

    MyST-NB writes it without them whenever they come from the cache.
    """
    path = Path(app.outdir).parent / "jupyter_execute" / f"{app.env.docname}.ipynb"
    if path.is_file():
        cache = get_cache(app.env.mystnb_config.execution_cache_path)  # type: ignore[attr-defined]
        with suppress(KeyError):  # a chapter that was not executed is not in the cache
            _, notebook = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
            nbformat.write(notebook, path)


def fold_cells(app: Sphinx, doctree: document) -> None:
    """Fold exercises with what the checker says of the solution; let each folded cell say what it holds."""
    for cell in doctree.findall(container):
        for tag, what in PROMPTS.items():
            if f"tag_{tag}" in cell["classes"]:
                cell["prompt_show"], cell["prompt_hide"] = f"Show {what}", f"Hide {what}"
                if tag == TAG:
                    cell["hide_mode"] = "all"


def raise_in_short(app: Sphinx, doctree: document) -> None:
    """Put what a chapter found below its first paragraphs, before the cells that it needs to say so."""
    for short in list(doctree.findall(container)):
        if "tag_in-short" in short["classes"]:
            around = short.parent
            around.remove(short)
            cells = [node for node in around if "cell" in node.get("classes", ())]
            around.insert(around.index(cells[0]) if cells else len(around), short)

"""Where the site says the book is at home: buttons and links to its repository, where it has an address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxRole

from labkit.chapters.address import address, branch
from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import notebook_from, write_notebook

BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")


def setup_home(app: Sphinx) -> None:
    """Connect the hooks; with another address all pages are read again."""
    app.add_config_value("labkit_home", "", "env")
    app.add_role("repository", Repository())
    app.connect("config-inited", show_buttons)
    # After the theme has made its buttons, at 501.
    app.connect("html-page-context", open_notebook, priority=900)
    app.connect("html-page-context", download_notebook, priority=900)


def show_buttons(app: Sphinx, config: Config) -> None:
    """Give the theme the book's address, or take the buttons that would lead nowhere away."""
    config.labkit_home = home = address(Path(app.srcdir))
    if config.html_theme == "sphinx_book_theme":
        options = config.html_theme_options
        options |= {"repository_url": home} | dict.fromkeys(BUTTONS, bool(home))
        if not home:
            options["launch_buttons"] = {}


class Repository(SphinxRole):
    """``{repository}`words <path>` ``: the words, linked to that file where the book has an address."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link, or the words alone."""
        found = re.fullmatch(r"(.*?)\s*<(.+)>", self.text, re.DOTALL)
        words, path = (found[1], found[2]) if found else (self.text, self.text)
        if not self.config.labkit_home:
            return [nodes.Text(words)], []
        target = f"{self.config.labkit_home}/blob/{branch(Path(self.env.srcdir))}/{path}"
        return [nodes.reference(self.rawtext, words, refuri=target)], []


def open_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Point the launch buttons of a chapter to `notebooks/<slug>.ipynb`; edit and source links stay."""
    notebook = f"notebooks/{Path(pagename).name}.ipynb"
    for button in _buttons(context, "launch-buttons"):
        if "url" in button:
            button["url"] = button["url"].replace(f"{pagename}.md", notebook)


def download_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Let the reader of a chapter download its notebook as pairing makes it: without the solutions.

    The theme offers the executed source, and only where the book has an address.
    """
    if "kernelspec" not in app.env.metadata.get(pagename, {}):
        return
    _, *part, slug = pagename.split("/")
    chapter = Chapter(slug, Path(app.srcdir), "/".join(part))
    write_notebook(
        Path(app.outdir, "_sources", f"{pagename}.ipynb"), notebook_from(chapter, app.config.labkit_home)
    )
    buttons = _buttons(context, "download-buttons")
    buttons[:] = [button for button in buttons if button.get("label") != "download-notebook-button"]
    ours = {
        "type": "link",
        "url": f"{context['pathto']('_sources', 1)}/{pagename}.ipynb",
        "text": ".ipynb",
        "icon": "fas fa-code",
        "tooltip": "Download the notebook",
        "label": "download-notebook-button",
    }
    buttons.insert(0, ours)


def _buttons(context: dict[str, Any], label: str) -> list[dict[str, Any]]:
    for group in context.get("header_buttons", []):
        if group.get("label") == label:
            found: list[dict[str, Any]] = group["buttons"]
            return found
    return []

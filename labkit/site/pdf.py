"""The whole book as one PDF: Sphinx joins the pages to one document, a browser prints it.

The browser lays out formulas, tables and figures as it does on the screen; the rules of `book.css` for print
open what is folded and put the tabs of a figure below each other. Headings become bookmarks.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import click

from labkit.chapters.chapter import toc_pages
from labkit.errors import LabkitError
from labkit.site.engine import alone, run_jupyter_book

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
)
LIMIT = 300  # seconds for one print


def find_browser() -> str:
    """Return the path of Chromium or Chrome; raises LabkitError where none is installed."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise LabkitError(f"the PDF is printed by a browser, and none of {', '.join(BROWSERS)} is installed")


def print_book(root: Path, browser: str) -> None:
    """Print the pages of the book at `root`, which is built, to `_build/the-lab-book.pdf`, and say so.

    Raises LabkitError where the browser prints nothing; an older PDF then stays.
    """
    folder = root / "_build"
    target = folder / "the-lab-book.pdf"
    with alone(folder) as lock:
        run_jupyter_book(root, folder / "singlehtml", folder / "pdf.log", lock, "singlehtml")
        document = _joined(folder / "singlehtml", toc_pages(root)[0])
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as scratch:
            printed = Path(scratch) / target.name
            _print(browser, document, printed)
            printed.replace(target)
    click.echo(f"{len(toc_pages(root))} pages of the website, {target.stat().st_size / 1e6:.1f} MB: {target}")


def _joined(folder: Path, first: str) -> Path:
    """Put the joined pages, which are where the first one was, to where their links to files start from."""
    document = folder / "the-lab-book.html"
    text = (folder / f"{first}.html").read_text(encoding="utf-8")
    document.write_text(text.replace(f'href="{first}.html#', 'href="#'), encoding="utf-8")
    return document


def _print(browser: str, document: Path, target: Path) -> None:
    command = [browser, *OPTIONS, f"--user-data-dir={target.parent / 'profile'}"]
    command += [f"--print-to-pdf={target}", document.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        raise LabkitError(f"{browser} did not print the book within {LIMIT} s") from error
    if done.returncode or not target.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise LabkitError(f"{browser} printed nothing (exit code {done.returncode}): {last}")

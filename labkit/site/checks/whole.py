"""Checks on the built website: nothing is missing, unexecuted, unreachable or undescribed.

Sphinx reports what it notices while it builds. These checks read the result itself: the HTML files and the
executed notebooks beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat

from labkit.chapters.address import address
from labkit.chapters.chapter import Chapter, chapters, toc_pages
from labkit.errors import LabkitError
from labkit.site.checks.html import Page, read_page
from labkit.site.checks.links import link_faults, tracked

SHOWN = 20
# What tqdm writes: from the start of the line to the times in brackets, or blanks over an older bar.
BAR = re.compile(r"\r(?:[^\r\n]*? \[(?:\d+:)?\d\d:\d\d[<,][^\]\r\n]*\])? *(?:\x1b\[A)*")
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp")
LAUNCHERS = {"Colab": "colab.research.google.com", "Binder": "mybinder.org"}


def check(root: Path, site: Path) -> None:
    """Raise LabkitError unless the website in `site` is whole; its message lists what is wrong.

    Every page of the table of contents is there and says something. Every code cell of every chapter was
    executed, none raised or wrote to stderr, and a chapter with a lab wrote its record. Every page names its
    icon. Every link, picture and script within the site exists, down to the anchor; those to our repository
    open a file that git tracks, launch buttons a notebook; all others are https, and no page needs them to be
    shown. Every picture in a text is described.
    """
    paths = [path for path in site.rglob("*.html") if path.relative_to(site).parts[0] != "_static"]
    pages = {path: read_page(path) for path in sorted(paths)}
    if not pages:
        raise LabkitError(f"the site is empty: no page in {site}")
    findings = [
        *_pages(root, site, pages),
        *_cells(root),
        *link_faults(root, site, pages),
        *_launch_buttons(root, site, pages),
        *_pictures(site, pages),
    ]
    if findings:
        count = f"1 fault in {site}" if len(findings) == 1 else f"{len(findings)} faults in {site}"
        more = [f"and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
        raise LabkitError("\n  ".join([f"{count}:", *findings[:SHOWN], *more]))


def _pages(root: Path, site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for name in toc_pages(root):
        page = pages.get(site / f"{name}.html")
        if page is None:
            yield f"{name}: in _toc.yml, but was not built"
        elif not page.text:
            yield f"{name}: the page is empty"
    for path, page in pages.items():
        if not page.icon:
            yield f"{_name(site, path)}: names no icon, so that a browser asks the server for /favicon.ico"


def _cells(root: Path) -> Iterator[str]:
    for chapter in chapters(root):
        cells = [cell for cell in chapter.read().cells if cell.cell_type == "code"]
        executed = executed_cells(root, chapter)
        counts = [cell.execution_count for cell in executed]
        if not cells:
            yield f"{chapter.slug}: has no code cell"
        elif len(counts) != len(cells):
            yield f"{chapter.slug}: {len(cells)} code cells in the source, {len(counts)} in what was executed"
        elif counts != list(range(1, len(cells) + 1)):
            missing = next(number for number, count in enumerate(counts, 1) if count != number)
            yield f"{chapter.slug}: code cell {missing} of {len(cells)} was not executed in its turn"
        for number, cell in enumerate(executed, 1):
            for fault in _outputs(cell.outputs):
                yield f"{chapter.slug}: code cell {number} of {len(cells)} {fault}"
        if _is_left_open("\n".join(cell.source for cell in cells)):
            yield f"{chapter.slug}: opens a lab and does not end with lab.close(), which writes its record"


def _outputs(outputs: list[Any]) -> Iterator[str]:
    for output in outputs:
        if output.output_type == "error":
            # Also under the tag raises-exception: a cell that shows an exception catches it and prints it.
            yield " ".join(f"raises {output.ename}: {output.evalue}".split())
    # Stderr is not on the page: there nobody reads what is meant for readers. Progress bars are for those who
    # wait; all else is a warning, or should be printed.
    errors = "".join(output.text for output in outputs if output.get("name") == "stderr")
    said = [line for line in re.split(r"[\r\n]", BAR.sub("", errors)) if line.strip()]
    if said:
        yield f"says to nobody, on stderr: {said[0].strip()}"


def _is_left_open(code: str) -> bool:
    """Return whether `code` opens a lab and does not end by writing its record.

    Only then is what the lab was told checked, and NaN refused: all of it if `lab.close()` comes last, and by
    itself, because each cell was executed.
    """
    told = re.findall(r"^(.*\blab\.(?:record|sheet|close))\(", code, re.MULTILINE)
    return "open_lab(" in code and told[-1:] != ["lab.close"]


def executed_cells(root: Path, chapter: Chapter) -> list[Any]:
    """Return the code cells of the notebook that the chapter's page was made from."""
    path = root / "_build" / "jupyter_execute" / f"{chapter.page}.ipynb"
    if not path.is_file():
        return []
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _launch_buttons(root: Path, site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    notebooks = [path for path in tracked(root) if re.fullmatch(r"notebooks/[^/]+\.ipynb", path)]
    for chapter in chapters(root):
        path = site / f"{chapter.page}.html"
        if path not in pages:
            continue
        for launcher, host in LAUNCHERS.items():
            found = [link for link in pages[path].links if urlsplit(link).netloc == host]
            if found and not address(root):
                yield f"{chapter.slug}: a button for {launcher}, and the book has no address"
            if not found and address(root):
                yield f"{chapter.slug}: no button for {launcher}"
            for link in found:
                # Colab has the file in the path of the address, Binder in its query.
                if not any(link.endswith(f"/{notebook}") for notebook in notebooks):
                    yield f"{chapter.slug}: the button for {launcher} opens no notebook of this book: {link}"


def _pictures(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for source, description in page.pictures:
            if not description.strip():
                yield f"{_name(site, path)}: {source} has no description for those who cannot see it"
            elif description.lower().endswith(IMAGES):
                yield f"{_name(site, path)}: {source} is described by a file name, {description}"


def _name(site: Path, path: Path) -> str:
    return path.relative_to(site).with_suffix("").as_posix()

"""Building the website, so that a build that ends well is a whole and honest site."""

from __future__ import annotations

import importlib.metadata
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import click
import nbformat
from jupyter_cache import get_cache

from labkit.chapters.chapter import Chapter, chapters, toc_pages
from labkit.errors import LabkitError
from labkit.site.checks.whole import check, executed_cells
from labkit.site.engine import alone, run_jupyter_book
from labkit.site.redirects import read_redirects
from labkit.site.sources import check_sources

ENGINE = "jupyter-book>=1.0.4,<2"
# What Sphinx keeps in `_build` beside the pages: what it has read, and the chapters as they were executed.
READ, EXECUTED = (".doctrees", "jupyter_execute"), ".jupyter_cache"


def build(root: Path) -> None:
    """Build the book at `root` into `_build/html`, check it, and print what was made.

    Chapters whose code, records and pinned packages are as before come from the cache. Warnings count as
    errors. The full log is `_build/book.log`.

    The site becomes `_build/html` when all is made and checked. Until then, and where the build fails or is
    killed, there is no `_build/html`, so that nothing old or half done is taken for the book; what was made
    is in `_build/unchecked-html`. A second build waits for the first.

    Raises LabkitError with the cause: a cell that failed, a page that is missing, the wrong engine, a
    warning, a fault in the built site, a disk that is full.
    """
    with alone(root / "_build") as lock:
        _build(root, lock)


def _build(root: Path, lock: int) -> None:
    started, folder = time.monotonic(), root / "_build"
    site, unchecked = folder / "html", folder / "unchecked-html"
    as_left = _is_as_left(folder)
    (folder / "good").unlink(missing_ok=True)
    _remove(unchecked)
    if site.exists():
        site.rename(unchecked)
    _check_engine()
    check_sources(root)
    # Sphinx tells a warning only when it reads a page again, and does not remove the pages of files that are
    # gone. So what it has kept is used again only where it is what a good build of these pages left.
    if not as_left or _surplus(root, unchecked):
        for name in ("unchecked-html", *READ):
            _remove(folder / name)
        if not is_sound(folder / EXECUTED):
            click.echo("the cache of executed chapters is damaged: all are executed again")
            _remove(folder / EXECUTED)
    click.echo(f"building {len(toc_pages(root))} pages, log in {folder / 'book.log'}")
    executed = run_jupyter_book(root, unchecked, folder / "book.log", lock)
    check(root, unchecked)
    unchecked.rename(site)
    (folder / "good").write_text(_state(folder))
    _summary(root, executed, time.monotonic() - started)


def _check_engine() -> None:
    """Version 2 of jupyter-book reads other files: on this book it exits 0 and writes no page."""
    try:
        version = importlib.metadata.version("jupyter-book")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    if not version.startswith("1."):
        raise LabkitError(f"the book needs {ENGINE}, here is {version}: run `pip install '{ENGINE}'`")


def _is_as_left(folder: Path) -> bool:
    """Return whether nothing has touched what the last build left, and that build ended well."""
    good = folder / "good"
    return good.is_file() and good.read_bytes() == _state(folder).encode()


def _state(folder: Path) -> str:
    """Return a line for each file that the next build would use: its name, size and time."""
    files = [
        path for name in ("html", *READ, EXECUTED) for path in (folder / name).rglob("*") if path.is_file()
    ]
    return "".join(
        f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}\n"
        for path in sorted(files)
    )


def _surplus(root: Path, site: Path) -> set[str]:
    """Return the pages in `site` that neither `_toc.yml` nor `book/redirects.yml` names."""
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.glob("book/**/*.html")}
    return built - set(toc_pages(root)) - set(read_redirects(root))


def is_sound(cache: Path) -> bool:
    """Return whether all can be read that the cache of executed chapters says it has."""
    if not cache.exists():
        return True
    try:
        address = f"{(cache / 'global.db').as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True)) as database:
            sound = database.execute("pragma integrity_check").fetchall() == [("ok",)]
            keys = [key for (key,) in database.execute("select hashkey from nbcache")]
        for key in keys:
            nbformat.read(cache / "executed" / key / "base.ipynb", as_version=4)
    except Exception:  # whatever damage makes of a file
        return False
    return sound


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _summary(root: Path, executed: dict[str, float], seconds: float) -> None:
    there = chapters(root)
    cells = {chapter.slug: len(executed_cells(root, chapter)) for chapter in there}
    for chapter in there:
        if chapter.slug in executed:
            how = f"executed now, {executed[chapter.slug]:.1f} s"
        else:
            how = f"from the cache, {_cached_seconds(root, chapter):.1f} s when executed"
        click.echo(f"{chapter.slug}: {cells[chapter.slug]} code cells, {how}")
    click.echo(
        f"{len(toc_pages(root))} pages, {len(there)} chapters, {sum(cells.values())} code cells, "
        f"{len(executed)} chapters executed, checked, in {seconds:.0f} s"
    )
    click.echo(f"open {root / '_build' / 'html' / 'index.html'}")


def _cached_seconds(root: Path, chapter: Chapter) -> float:
    records = get_cache(root / "_build" / ".jupyter_cache").list_cache_records()
    mine = [record for record in records if Path(record.uri).name == chapter.source.name]
    return float(max(mine, key=lambda record: record.accessed).data["execution_seconds"])

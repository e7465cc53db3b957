"""Building the website, so that a build that ends well is a whole and honest site."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
from jupyter_cache import get_cache

from labkit.chapters.chapter import Chapter, chapters, toc_pages
from labkit.errors import LabkitError
from labkit.site.checks.whole import check, executed_cells
from labkit.site.redirects import read_redirects

ENGINE = "jupyter-book>=1.0.4,<2"
EXECUTING = re.compile(r"/([^/]+)\.md: Executing notebook")
EXECUTED = re.compile(r"/([^/]+)\.md: Executed notebook in ([\d.]+) seconds")
ANSI = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


def build(root: Path) -> None:
    """Build the book at `root` into `_build/html`, check it, and print what was made.

    Chapters whose code, records and pinned packages are as before come from the cache. Warnings count as
    errors. The full log is `_build/book.log`.

    Raises LabkitError with the cause: a cell that failed, a page that is missing, the wrong engine, a
    warning, a fault in the built site. Then there is no `_build/html` (what was made is in
    `_build/failed-html`), so that nothing old or half done is taken for the book.
    """
    started = time.monotonic()
    _check_engine()
    folder = root / "_build"
    folder.mkdir(exist_ok=True)
    _forget_unless_good(root, folder)
    click.echo(f"building {len(toc_pages(root))} pages, log in {folder / 'book.log'}")
    try:
        for name in toc_pages(root):
            if not (root / f"{name}.md").is_file():
                raise LabkitError(f"_toc.yml names {name}, but there is no {name}.md")
        executed = run_jupyter_book(root, folder / "book.log")
        check(root)
    except BaseException:
        _put_aside(folder)
        raise
    _mark_good(folder)
    _summary(root, executed, time.monotonic() - started)


def _check_engine() -> None:
    """Version 2 of jupyter-book reads other files: on this book it exits 0 and writes no page."""
    try:
        version = importlib.metadata.version("jupyter-book")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    if not version.startswith("1."):
        raise LabkitError(f"the book needs {ENGINE}, here is {version}: run `pip install '{ENGINE}'`")


def run_jupyter_book(root: Path, log: Path, builder: str = "html") -> dict[str, float]:
    """Run jupyter-book, with its output in `log`; return the seconds of each chapter it executed.

    Raises LabkitError with the cause.
    """
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(root), "--builder", builder, "-W", "-n", "--keep-going"]
    # No chapter may need the network: what asks for it is sent to a port where nobody answers.
    proxies = [
        name for scheme in ("http", "https", "all") for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    ]
    nowhere = dict.fromkeys(proxies, "http://127.0.0.1:9")
    environment = (
        os.environ
        | nowhere
        | {
            "no_proxy": "localhost,127.0.0.1",
            # A user's own python3 kernel may belong to another installation.
            "JUPYTER_PREFER_ENV_PATH": "1",
            # The records of these runs are no one's results.
            "LABKIT_RESULTS": str(log.parent / "runs"),
            "PYTHONUNBUFFERED": "1",
        }
    )
    executed = {}
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            plain = ANSI.sub("", line)
            file.write(plain)
            if found := EXECUTING.search(plain):
                click.echo(f"{found[1]}: executing")
            elif found := EXECUTED.search(plain):
                executed[found[1]] = float(found[2])
                click.echo(f"{found[1]}: executed in {executed[found[1]]:.1f} s")
    if process.returncode:
        raise LabkitError(_cause(log))
    return executed


def _cause(log: Path) -> str:
    """Return what stopped the build in one line, and below it the end of the log."""
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip(" =")]
    for marker in ("Failing cell:", "Wrong redirect:", "Extension error", "Exception occurred:"):
        if marker in "\n".join(lines):
            place = next(number for number, line in enumerate(lines) if marker in line)
            cause = f"{lines[place].strip()} {' '.join(lines[place + 1 : place + 2])}"
            break
    else:
        cause = next(
            (line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL|Error): ", line)), lines[-1]
        )
    tail = "\n  ".join(lines[-15:])
    return f"{cause}\n  the end of {log}:\n  {tail}"


# Sphinx tells a warning only when it reads a page again. So the pages it has kept are trusted only where the
# last build that read any of them was one of ours and went well.


def _environment_stamp(folder: Path) -> str:
    pickle = folder / ".doctrees" / "environment.pickle"
    return str(pickle.stat().st_mtime_ns) if pickle.is_file() else "none"


def _mark_good(folder: Path) -> None:
    (folder / "good").write_text(_environment_stamp(folder))


def _forget_unless_good(root: Path, folder: Path) -> None:
    good, site = folder / "good", folder / "html"
    if not good.is_file() or good.read_text() != _environment_stamp(folder):
        shutil.rmtree(folder / ".doctrees", ignore_errors=True)
    # Sphinx does not remove the pages of files that are gone.
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.glob("book/**/*.html")}
    if built - set(toc_pages(root)) - set(read_redirects(root)):
        shutil.rmtree(site)


def _put_aside(folder: Path) -> None:
    (folder / "good").unlink(missing_ok=True)
    shutil.rmtree(folder / "failed-html", ignore_errors=True)
    if (folder / "html").exists():
        (folder / "html").rename(folder / "failed-html")


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

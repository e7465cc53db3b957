"""The commands `pair` and `lab`: a chapter as Markdown and as a notebook, and notebooks to work in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from labkit.chapters.chapter import Chapter


@click.command()
@click.argument("names", metavar="[CHAPTER]...", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 with a line for each difference.")
@click.option(
    "--from-notebook", is_flag=True, help="The other way: rewrite book/CHAPTER.md from the notebook."
)
@click.option("--force", is_flag=True, help="Overwrite notebooks that were edited.")
@click.pass_context
def pair(
    context: click.Context, names: tuple[str, ...], check: bool, from_notebook: bool, force: bool
) -> None:
    """Make notebooks/CHAPTER.ipynb from book/CHAPTER.md (all chapters when none is named).

    \b
    Examples:
      labkit pair
      labkit pair p22
      labkit pair --check
      labkit pair --from-notebook p22        after an edit in JupyterLab

    A notebook that was edited is not overwritten, unless by --force. --from-notebook takes the one that was
    edited, in notebooks/ or its copy in runs/notebooks/; exercises stay as the source has them.
    """
    from labkit.chapters import pairing
    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.errors import LabkitError
    from labkit.paths import book_root

    if from_notebook and (check or not names):
        raise click.UsageError("--from-notebook needs the name of a chapter, and goes without --check")
    if force and (check or from_notebook):
        raise click.UsageError("--force goes without --check and --from-notebook")
    chosen = [find_chapter(name) for name in names] or chapters()
    if check:
        found = [line for chapter in chosen for line in pairing.differences(chapter)]
        found += [] if names else pairing.orphans(book_root())
        for line in found:
            click.echo(line, err=True)
        context.exit(1 if found else 0)
    refused = False
    for chapter in chosen:
        if from_notebook:
            _take_over(chapter)
            continue
        try:
            written = pairing.pair(chapter, force=force)
        except LabkitError as error:
            click.echo(f"Error: {error}", err=True)
            refused = True
        else:
            click.echo(f"notebooks/{chapter.slug}.ipynb: {'written' if written else 'up to date'}")
    context.exit(1 if refused else 0)


def _take_over(chapter: Chapter) -> None:
    from labkit.chapters.copies import edited_notebook
    from labkit.chapters.pairing import cells_called
    from labkit.chapters.rewriting import write_source

    path = edited_notebook(chapter)
    exercises = write_source(chapter, path)
    click.echo(
        f"wrote {chapter.page}.md from {path.relative_to(chapter.root)}; "
        f"`labkit pair {chapter.slug}` makes the notebook of it"
    )
    if exercises:
        click.echo(
            f"exercises are as they were, not as in {cells_called(exercises)}: edit them in {chapter.page}.md"
        )


@click.command()
def lab() -> None:
    """Open JupyterLab on copies of the notebooks, in runs/notebooks/.

    A copy that was edited is never overwritten; delete or rename it to get a new one.
    """
    import os
    import sys
    from importlib.util import find_spec

    from labkit.chapters.chapter import chapters
    from labkit.chapters.copies import copy_of, refresh
    from labkit.chapters.pairing import cells_called
    from labkit.errors import LabkitError
    from labkit.paths import book_root

    if find_spec("jupyterlab") is None:
        raise LabkitError(f"JupyterLab is not installed here: {sys.executable} -m pip install jupyterlab")
    for chapter in chapters():
        if numbers := refresh(chapter):
            where = copy_of(chapter).relative_to(chapter.root)
            click.echo(f"{where}: kept with your edits ({cells_called(numbers)})")
    folder = str(book_root() / "runs" / "notebooks")
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", folder])

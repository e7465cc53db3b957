"""The command `labkit`. Imports stay inside the commands, so that `labkit --help` is there at once."""

from __future__ import annotations

from pathlib import Path

import click

import labkit
from labkit.cli_errors import OneLineErrors

EXAMPLES = """
\b
Examples:
  labkit list                                   chapters, their parameters, their records
  labkit run p22                                one chapter, smoke size (seconds)
  labkit run p22 --profile laptop --seed 1      on real data, minutes
  labkit run p22 -p epochs=3 --verbose          another parameter, all it prints
  labkit run all --profile full                 the papers' protocols, on a GPU
  labkit pair                                   make the notebooks from book/*.md
  labkit data list                              data sets, and where they are found
"""


@click.group(cls=OneLineErrors, epilog=EXAMPLES)
@click.version_option(labkit.__version__, prog_name="labkit")
def main() -> None:
    """Run, list and pair the chapters of the book, and fetch their data."""


# Handed on unread: only `labkit data` itself pays for importing the data rooms.
@main.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def data(arguments: tuple[str, ...]) -> None:
    """List, show and fetch data sets."""
    from labkit.data.commands import data as group

    group.main(list(arguments), prog_name="labkit data")


@main.command("list")
def list_chapters() -> None:
    """List the chapters: title, parameters, and the runs recorded under results/."""
    from labkit.batch.pairing import notebook_from
    from labkit.batch.parameters import described, parameters_of
    from labkit.lab.chapter import chapters

    for chapter in chapters():
        click.echo(f"{chapter.slug}: {chapter.title()}")
        click.echo(f"  parameters: {described(parameters_of(notebook_from(chapter), chapter.slug))}")
        click.echo(f"  records:    {_records(chapter.root / 'results' / chapter.slug)}")


def _records(folder: Path) -> str:
    """Return the recorded seeds by profile: ``laptop seeds 0, 1; full seed 0``."""
    from labkit.lab.profile import PROFILES

    found = []
    for profile in PROFILES:
        seeds = sorted(
            int(path.stem.removeprefix("seed-")) for path in (folder / profile).glob("seed-*.json")
        )
        if seeds:
            found.append(f"{profile} seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    return "; ".join(found) or "none"


@main.command()
@click.argument("names", metavar="CHAPTER...", nargs=-1, required=True)
@click.option("--profile", default="smoke", show_default=True, help="Size: smoke, laptop or full.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("-p", "texts", metavar="NAME=VALUE", multiple=True, help="A parameter; may be repeated.")
@click.option("--verbose", is_flag=True, help="Show what the chapter prints.")
@click.pass_context
def run(
    context: click.Context,
    names: tuple[str, ...],
    profile: str,
    seed: int,
    texts: tuple[str, ...],
    verbose: bool,
) -> None:
    """Execute chapters (by slug, by number such as p22, or `all`) and record their results.

    \b
    Examples:
      labkit run p22
      labkit run p22 p04 --profile laptop --seed 1
      labkit run p22 -p epochs=3
      labkit run all --profile full

    The executed notebook goes to runs/CHAPTER/PROFILE/seed-N.ipynb, the record to the same path under
    results/, or under runs/ where -p changes a default. Every name and parameter is checked before the
    first cell of the first chapter. A chapter that fails does not stop those after it; the exit code is
    then 1 (130 after Ctrl-C).
    """
    from labkit.batch.parameters import checked, from_texts
    from labkit.batch.runner import defaults_of
    from labkit.batch.runner import run as run_chapter
    from labkit.errors import LabkitError
    from labkit.lab.chapter import chapters, find_chapter

    for option in ("profile", "seed"):
        if any(text.startswith(f"{option}=") for text in texts):
            raise LabkitError(f"use --{option}, not -p {option}=…")
    plans = []
    for chapter in chapters() if names == ("all",) else map(find_chapter, names):
        defaults = defaults_of(chapter)
        parameters = from_texts(texts, defaults, chapter.slug)
        checked({"profile": profile, "seed": seed, **parameters}, defaults, chapter.slug)
        plans.append((chapter, parameters))

    failures = 0
    for chapter, parameters in plans:
        try:
            executed = run_chapter(chapter, profile, seed, parameters, verbose=verbose)
            click.echo(f"{chapter.slug}: executed notebook in {executed.relative_to(chapter.root)}")
        except LabkitError as error:
            click.echo(f"Error: {error}", err=True)
            failures += 1
        except KeyboardInterrupt:
            click.echo(f"Stopped; the cells so far are in runs/{chapter.slug}/{profile}/.", err=True)
            context.exit(130)
    context.exit(1 if failures else 0)


@main.command()
@click.argument("names", metavar="[CHAPTER]...", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 with a line for each difference.")
@click.option(
    "--from-notebook", is_flag=True, help="The other way: rewrite book/CHAPTER.md from the notebook."
)
@click.pass_context
def pair(context: click.Context, names: tuple[str, ...], check: bool, from_notebook: bool) -> None:
    """Make notebooks/CHAPTER.ipynb from book/CHAPTER.md (all chapters when none is named).

    \b
    Examples:
      labkit pair
      labkit pair p22
      labkit pair --check
      labkit pair --from-notebook p22        after an edit in JupyterLab
    """
    from labkit.batch import pairing
    from labkit.lab.chapter import chapters, find_chapter
    from labkit.paths import book_root

    if from_notebook and (check or not names):
        raise click.UsageError("--from-notebook needs the name of a chapter, and goes without --check")
    chosen = [find_chapter(name) for name in names] or chapters()
    if check:
        found = [line for chapter in chosen for line in pairing.differences(chapter)]
        found += [] if names else pairing.orphans(book_root())
        for line in found:
            click.echo(line, err=True)
        context.exit(1 if found else 0)
    for chapter in chosen:
        if from_notebook:
            pairing.write_source(chapter)
            click.echo(f"wrote book/{chapter.slug}.md; `labkit pair {chapter.slug}` makes its notebook again")
        else:
            written = pairing.pair(chapter)
            click.echo(f"notebooks/{chapter.slug}.ipynb: {'written' if written else 'up to date'}")

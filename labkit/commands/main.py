"""The command `labkit`. Imports stay inside the commands, so that `labkit --help` is there at once."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

import labkit
from labkit.batch.plan import LARGEST_SEED
from labkit.commands.book import book, pdf
from labkit.commands.errors import OneLineErrors
from labkit.commands.new import new
from labkit.commands.pair import lab, pair
from labkit.commands.records import claims, replay, verify
from labkit.commands.rehearse import rehearse
from labkit.commands.show import compare, show

EXAMPLES = """
\b
Examples:
  labkit list                                   chapters, their parameters, their records
  labkit run p22                                one chapter, smoke size (seconds)
  labkit run p22 --profile laptop --seed 1      on real data, minutes
  labkit run p22 -p epochs=3 --verbose          another parameter, all it prints
  labkit run all --profile laptop --seeds 0-2   three seeds of each; recorded ones are skipped
  labkit run all --profile full                 the papers' protocols, on a GPU
  labkit rehearse p22 --profile full            does it run, and how long would it take?
  labkit claims p22                             what the recorded runs say of each claim
  labkit show p22                               the tables that runs have recorded
  labkit verify                                 are the recorded runs whole, and still of this code?
  labkit pair                                   make the notebooks from book/*.md
  labkit new p23 "A title" --part training      a chapter to begin with
  labkit data list                              data sets, and where they are found
"""


@click.group(cls=OneLineErrors, epilog=EXAMPLES)
@click.version_option(labkit.__version__, prog_name="labkit")
def main() -> None:
    """Run, list, verify and pair the chapters of the book, and fetch their data."""


for command in (book, pdf, new, pair, lab, claims, show, compare, verify, replay, rehearse):
    main.add_command(command)


@main.command()
@click.argument("names", metavar="[CHAPTER]...", nargs=-1)
def rehash(names: tuple[str, ...]) -> None:
    """Hash the code of records again, from the commits they name (all chapters when none is named).

    Needed once after a change of the way in which code is hashed; nothing else in a record changes.
    """
    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.lab.rehash import rehash as again

    for chapter in [find_chapter(name) for name in names] or chapters():
        paths = sorted((chapter.root / "results" / chapter.slug).glob("*/seed-*.json"))
        changed = sum(again(chapter, path) for path in paths)
        click.echo(f"{chapter.number}: {len(paths)} records, {changed} written")


# Handed on unread: only `labkit data` itself pays for importing the data rooms.
@main.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def data(arguments: tuple[str, ...]) -> None:
    """List, show and fetch data sets."""
    from labkit.commands.data import data as group

    group.main(list(arguments), prog_name="labkit data")


@main.command("list")
def list_chapters() -> None:
    """List the chapters: title, parameters, and the runs recorded under results/."""
    from labkit.chapters.chapter import chapters
    from labkit.chapters.pairing import notebook_from
    from labkit.chapters.parameters import described, parameters_of

    for chapter in chapters():
        click.echo(f"{chapter.slug}: {chapter.title()}")
        click.echo(f"  parameters: {described(parameters_of(notebook_from(chapter), chapter.slug))}")
        click.echo(f"  records:    {_records(chapter.root / 'results' / chapter.slug)}")


def _records(folder: Path) -> str:
    """Return the recorded seeds by profile: ``laptop seeds 0, 1; full seed 0``."""
    from labkit.profile import PROFILES

    found = []
    for profile in PROFILES:
        names = [path.stem.removeprefix("seed-") for path in (folder / profile).glob("seed-*.json")]
        seeds = sorted(int(name) for name in names if name.isdecimal())
        if seeds:
            found.append(f"{profile} seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    return "; ".join(found) or "none"


@main.command()
@click.argument("names", metavar="CHAPTER...", nargs=-1, required=True)
@click.option("--profile", default="smoke", show_default=True, help="Size: smoke, laptop or full.")
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), help="One seed.  [default: 0]")
@click.option("--seeds", metavar="N,N-M,…", help="Several seeds: 0,1,2 or 0-2.")
@click.option("-p", "texts", metavar="NAME=VALUE", multiple=True, help="A parameter; may be repeated.")
@click.option("--force", is_flag=True, help="Run, and train, again what is recorded.")
@click.option("--yes", is_flag=True, help="Run the full size without asking, also where there is no GPU.")
@click.option("--verbose", is_flag=True, help="Show what the chapter prints.")
@click.option("--engine", default="local", show_default=True, help="Where: local or dask.")
@click.option("--jobs", type=click.IntRange(1, 1_000), help="local: runs side by side.  [default: 1]")
@click.option("--scheduler", metavar="ADDRESS", help="dask: tcp://HOST:PORT or tls://HOST:PORT.")
@click.option("--gpus", type=click.IntRange(0, 1_000), help="dask: GPUs for each run.  [default: 0]")
@click.pass_context
def run(
    context: click.Context,
    names: tuple[str, ...],
    profile: str,
    seed: int | None,
    seeds: str | None,
    texts: tuple[str, ...],
    force: bool,
    yes: bool,
    verbose: bool,
    engine: str,
    jobs: int | None,
    scheduler: str | None,
    gpus: int | None,
) -> None:
    """Execute chapters (by slug, by number such as p22, or `all`) and record their results.

    \b
    Examples:
      labkit run p22
      labkit run p22 p04 --profile laptop --seed 1
      labkit run p22 -p epochs=3
      labkit run all --profile laptop --seeds 0-2 --jobs 2
      labkit run all --profile full --engine dask --scheduler tcp://HOST:8786 --gpus 1

    The executed notebook goes to runs/CHAPTER/PROFILE/seed-N.ipynb, the record to the same path under
    results/. Smoke runs are not recorded there, nor are trials, where -p changes a default: their records
    lie beside the notebook, those of a trial in a folder of its own such as runs/CHAPTER/PROFILE/epochs=3/.
    `labkit show` shows what is in a record. A run whose record is there, made by the present code, is
    skipped. Every name and parameter is checked before the first cell of the first chapter. A run that fails
    does not stop the others; the exit code is then 1 (130 after Ctrl-C).
    """
    from labkit.batch.cost import without_gpu
    from labkit.batch.engines import choose, table, watched
    from labkit.batch.found import said_by
    from labkit.batch.plan import planned, seeds_of
    from labkit.chapters.chapter import find_chapter
    from labkit.chapters.pairing import differences
    from labkit.errors import LabkitError
    from labkit.lab.record import read_record
    from labkit.paths import book_root

    chosen = choose(engine, side_by_side=jobs, scheduler=scheduler, gpus=gpus, verbose=verbose)
    plan = planned(names, profile, seeds_of(seed, seeds), texts, force=force)
    for slug in dict.fromkeys(job.slug for job in plan):
        if differences(chapter := find_chapter(slug)):
            click.echo(f"notebooks/{slug}.ipynb is not {chapter.page}.md, which is what runs", err=True)
    if engine == "local" and not yes and (cost := without_gpu(plan)):
        click.echo(cost, err=True)
        if not (sys.stdin.isatty() and click.confirm("run it here?", err=True)):
            raise LabkitError("nothing was run; --yes runs it")
    outcomes = []
    try:
        with closing(chosen.outcomes(plan)) as coming:
            for outcome in watched(coming, len(plan)):
                outcomes.append(outcome)
    except KeyboardInterrupt:
        where = f"{plan[0].slug}/{profile}/" if len(plan) == 1 else ""
        click.echo(f"Stopped; the cells so far are in runs/{where}.", err=True)
        context.exit(130)
    if len(plan) > 1:
        click.echo(table(outcomes))
    elif outcomes[0].state != "failed":
        click.echo(f"{plan[0].slug}: {outcomes[0].state}: {outcomes[0].detail}")
        path = outcomes[0].detail.partition(" ")[0]
        if path.endswith(".json"):
            for line in said_by(read_record(book_root() / path)):
                click.echo(line, err=True)
            click.echo(f"`labkit show {path}` shows its tables, `labkit claims` what all seeds say", err=True)
    context.exit(1 if any(outcome.state == "failed" for outcome in outcomes) else 0)

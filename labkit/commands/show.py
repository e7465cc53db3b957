"""The commands `show` and `compare`: recorded rows in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

SOME = 8  # rows of a table, unless all are asked for

every_row = click.option("--all", "whole", is_flag=True, help="Show all rows of a table.")
some_tables = click.option(
    "--table", "tables", metavar="NAME", multiple=True, help="This one; may be repeated."
)


@click.command()
@click.argument("what", metavar="CHAPTER|RECORD|FOLDER")
@click.option("--profile", help="Size: smoke, laptop or full.  [default: the largest recorded]")
@click.option("--seed", type=click.IntRange(0), help="One seed.  [default: means over all]")
@some_tables
@every_row
def show(what: str, profile: str | None, seed: int | None, tables: tuple[str, ...], whole: bool) -> None:
    """Show the tables that runs have recorded, and what they were made of.

    \b
    Examples:
      labkit show p22
      labkit show p22 --profile full --seed 0 --table R10 --all
      labkit show runs/p22-vanishing-gradients/smoke/epochs=2
    """
    from labkit.batch.found import as_text, made_of, mean_rows, records_of

    records = records_of(what, profile, seed)
    chosen = _chosen(list(dict.fromkeys(name for record in records for name in record.rows)), tables)
    click.echo(made_of(records))
    for name in chosen:
        rows, called = mean_rows(records, name)
        click.echo(f"\n{name} ({called}, {len(rows)} rows)\n{as_text(rows, sys.maxsize if whole else SOME)}")


@click.command()
@click.argument("one", metavar="RECORD|FOLDER|CHAPTER")
@click.argument("other", metavar="RECORD|FOLDER|CHAPTER")
@some_tables
@every_row
def compare(one: str, other: str, tables: tuple[str, ...], whole: bool) -> None:
    """Show by how much the recorded numbers of two runs differ, or of two trials over their seeds.

    \b
    Examples:
      labkit compare runs/p22-vanishing-gradients/smoke runs/p22-vanishing-gradients/smoke/epochs=2
      labkit compare p22 runs/p22-vanishing-gradients/laptop/epochs=2 --table R10
      labkit compare results/p22-vanishing-gradients/laptop/seed-{0,1}.json
    """
    from labkit.batch.found import as_text, differences, made_of, records_of

    both = records_of(one), records_of(other)
    found = {name: (told, rows) for name, told, rows in differences(*both)}
    chosen = _chosen(list(found), tables)
    click.echo(f"first:  {made_of(both[0])}\nsecond: {made_of(both[1])}")
    for name in chosen:
        told, rows = found[name]
        click.echo(
            f"\n{name}: {told}" + (f"\n{as_text(rows, sys.maxsize if whole else SOME)}" if rows else "")
        )


def _chosen(names: Sequence[str], wanted: Sequence[str]) -> Sequence[str]:
    from labkit.errors import LabkitError

    if unknown := [name for name in wanted if name not in names]:
        raise LabkitError(f"no table {unknown[0]!r}; there are: {', '.join(names)}")
    return wanted or names

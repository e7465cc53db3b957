"""The commands that look at recorded runs: `verify`, `claims`, `replay`."""

from __future__ import annotations

import click


@click.command()
@click.argument("names", metavar="[CHAPTER]...", nargs=-1)
@click.option("--strict", is_flag=True, help="Exit 1 for stale records, too.")
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...], strict: bool) -> None:
    """Check the records in results/: whole, consistent, and made by the code as it is now.

    \b
    Examples:
      labkit verify
      labkit verify p22
      labkit verify --strict                 stale records are an error, too

    A line for each fault, then one for each chapter and profile. The exit code is 1 where a record is
    damaged or contradicts another. A record is stale when code that computes in it has changed since, and
    replayed when a small run showed that the change left all values as they were (`labkit replay`).
    """
    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.chapters.parameters import parameters_of
    from labkit.errors import LabkitError
    from labkit.lab import verify as room
    from labkit.paths import book_root

    try:
        chosen = list(dict.fromkeys(find_chapter(name) for name in names)) or chapters()
        found = room.verify(book_root(), chosen, lambda chapter: parameters_of(chapter.read(), chapter.slug))
    except LabkitError as error:
        raise click.ClickException(str(error)) from error
    for line in found.faults:
        click.echo(line, err=True)
    for line in found.summary:
        click.echo(line)
    context.exit(1 if found.faults or (strict and found.stale) else 0)


@click.command()
@click.argument("names", metavar="[CHAPTER]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON list, for programs.")
def claims(names: tuple[str, ...], as_json: bool) -> None:
    """Print every claim of chapters with its verdict, computed from the recorded rows.

    \b
    Examples:
      labkit claims p22
      labkit claims --json > claims.json

    In JSON each claim has its chapter, profile, row, text, statement, primary, control, verdict, word (as the
    page calls it), effect, low, high, unit, threshold, p, level, within, paper, seeds and added. Effects are
    in the unit of the rows: shares are in 0..1.
    """
    import json

    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.lab.standing import standings
    from labkit.paths import book_root

    chosen = list(dict.fromkeys(find_chapter(name) for name in names)) or chapters()
    told = []
    for standing in standings(book_root()):
        if standing.chapter not in chosen:
            continue
        seeds = [record.seed for record in standing.records]
        for judgement in standing.judgements:
            told.append(judgement.entry(standing.chapter.slug, standing.profile, seeds))
            if not as_json:
                kind = "control" if judgement.claim.control else "primary" if judgement.claim.primary else ""
                place = f"{standing.chapter.number} {standing.profile} {judgement.claim.row}"
                click.echo(
                    f"{place}: {judgement.word}: {judgement.claim.text} ({judgement.text}) {kind}".strip()
                )
    if as_json:
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
    elif not told:
        numbers = ", ".join(chapter.number for chapter in chosen)
        click.echo(f"nothing that these chapters claim is recorded: {numbers}")


@click.command()
@click.argument("names", metavar="[CHAPTER]...", nargs=-1)
@click.option("--profile", default="laptop", show_default=True, help="Of which records: laptop or full.")
@click.pass_context
def replay(context: click.Context, names: tuple[str, ...], profile: str) -> None:
    """Show that a change of code left recorded runs as they were, by a small run before and after it.

    \b
    Examples:
      labkit replay                          every chapter whose laptop records are of other code
      labkit replay p22

    The smallest run is made twice, with the code of the commit that the records name and with the code of
    now. Where all values are equal to the last digit and every line that differs was executed, that is kept
    beside the records as replay.json. The exit code is 1 where a chapter was refused; a line says why.
    """
    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.errors import LabkitError
    from labkit.lab.replay import replay as compare
    from labkit.profile import checked_profile

    refused = 0
    for chapter in [find_chapter(name) for name in names] or chapters():
        try:
            found = compare(chapter, checked_profile(profile))
        except LabkitError as error:
            click.echo(f"Error: {error}", err=True)
            refused += 1
        else:
            click.echo(
                f"{chapter.number} {profile}: {found.sentence() if found else 'fresh, nothing to replay'}"
            )
    context.exit(1 if refused else 0)

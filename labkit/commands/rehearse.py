"""The command `rehearse`: a large run cut short, to see that it runs and how long it would take."""

from __future__ import annotations

import click


@click.command()
@click.argument("names", metavar="CHAPTER...", nargs=-1, required=True)
@click.option("--profile", default="full", show_default=True, help="Which size: laptop or full.")
@click.pass_context
def rehearse(context: click.Context, names: tuple[str, ...], profile: str) -> None:
    """Rehearse chapters (by slug, by number such as p22, or `all`): each line runs, nothing is learned.

    \b
    Examples:
      labkit rehearse p22
      labkit rehearse p22 p04 --profile laptop
      labkit rehearse all --profile full

    The experiment's cells run with the real code and data at the sizes of the profile, but each training
    takes three steps and each pass over images two small batches. A line for each training, then the sums and
    an estimate of the hours on this machine, which is kept as results/CHAPTER/PROFILE/rehearsal.json: the
    pages show it until a run is recorded. Commit the code first. The exit code is 1 where a cell fails; a
    line says which.
    """
    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.errors import LabkitError
    from labkit.lab.rehearsal import rehearse as shorten
    from labkit.profile import checked_profile

    failed, checked = 0, checked_profile(profile)
    chosen = chapters() if names == ("all",) else [find_chapter(name) for name in names]
    for chapter in chosen:
        try:
            found = shorten(chapter, checked, click.echo)
        except LabkitError as error:
            click.echo(f"Error: {error}", err=True)
            failed += 1
        else:
            click.echo(f"{chapter.number} {profile}: {found.summary()}")
    context.exit(1 if failed else 0)

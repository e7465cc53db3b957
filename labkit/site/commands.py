"""The command `book`: build the website. `python -m labkit.site` runs it."""

from __future__ import annotations

import click

from labkit.errors import LabkitError


@click.command()
def book() -> None:
    """Build the website into _build/html and check it.

    Only chapters whose code, records or pinned packages have changed are executed.
    """
    from labkit.paths import book_root
    from labkit.site.build import build

    try:
        build(book_root())
    except LabkitError as error:
        raise click.ClickException(str(error)) from error

"""How commands show what went wrong: one line and a non-zero exit code, no traceback."""

from __future__ import annotations

from typing import Any

import click

from labkit.errors import LabkitError


class OneLineErrors(click.Group):
    """A group of commands in which every LabkitError becomes click's `Error: …` line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raises click.ClickException in place of LabkitError."""
        try:
            return super().invoke(ctx)
        except LabkitError as error:
            raise click.ClickException(str(error)) from error

"""How commands show what went wrong: one line and a non-zero exit code, no traceback."""

from __future__ import annotations

from typing import Any

import click

from labkit.errors import LabkitError

LONGEST_WORD = 500  # characters: what a message repeats, it can hold


class OneLineErrors(click.Group):
    """A group of commands in which every LabkitError becomes click's `Error: …` line and exit code 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; raises click.UsageError for a word that is too long or has characters one cannot see."""
        for word in args:
            if len(word) > LONGEST_WORD:
                raise click.UsageError(
                    f"{word[:40]!r}… has {len(word):,} characters; allowed: {LONGEST_WORD}", ctx
                )
            if not word.isprintable():
                raise click.UsageError(f"{word[:40]!r} has invisible characters; allowed: text", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raises click.ClickException in place of LabkitError."""
        try:
            return super().invoke(ctx)
        except LabkitError as error:
            raise click.ClickException(str(error)) from error

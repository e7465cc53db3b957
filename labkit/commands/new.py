"""The command `new`."""

from __future__ import annotations

import click


@click.command()
@click.argument("number")
@click.argument("title")
@click.option("--part", required=True, help="The part of the book, which is its folder in book/.")
def new(number: str, title: str, part: str) -> None:
    """Begin chapter NUMBER, such as p23: its page, checkers and wrong answers, and its place in _toc.yml.

    \b
    Example:
      labkit new p23 "Attacks that ask" --part adversarial

    What is made is a small chapter that runs, with every section a chapter has: write yours over it.
    """
    from labkit.chapters.template import new_chapter
    from labkit.paths import book_root

    root = book_root()
    for path in new_chapter(root, number, title, part):
        click.echo(f"wrote {path.relative_to(root)}")
    click.echo(f"next: labkit pair {number}, labkit run {number}; CONTRIBUTING.md says how to go on")

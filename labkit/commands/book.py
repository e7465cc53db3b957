"""The commands `book` and `pdf`."""

from __future__ import annotations

import click


@click.command()
def book() -> None:
    """Build the website into _build/html and check it.

    Only chapters whose code, records or pinned packages have changed are executed.
    """
    from labkit.paths import book_root
    from labkit.site.build import build

    build(book_root())


@click.command()
def pdf() -> None:
    """Build the website, then print it to _build/the-lab-book.pdf; needs Chromium or Chrome."""
    from labkit.paths import book_root
    from labkit.site.build import build
    from labkit.site.pdf import find_browser, print_book

    browser = find_browser()
    build(book_root())
    print_book(book_root(), browser)

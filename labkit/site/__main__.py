"""`python -m labkit.site`: build the website."""

from __future__ import annotations

from labkit.site.commands import book

if __name__ == "__main__":
    book(prog_name="python -m labkit.site")

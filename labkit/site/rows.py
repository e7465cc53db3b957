"""The recorded rows of each table as a file beside the pages, for those who compute on."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from sphinx.application import Sphinx

from labkit.chapters.chapter import chapters
from labkit.lab.record import Record, best_records, rows_file
from labkit.paths import write_atomically


def write_rows(app: Sphinx, error: Exception | None) -> None:
    """Write a CSV for each table of each recorded chapter, a line for each row of each seed."""
    if error or app.builder.name != "html":
        return
    for chapter in chapters(Path(app.srcdir)):
        made = best_records(chapter, chapter.root / "results")
        for table in made[0].rows if made else ():
            write_atomically(Path(app.outdir) / rows_file(chapter, table), _csv(made, table).encode())


def _csv(made: list[Record], table: str) -> str:
    rows = [{"seed": record.seed} | row for record in made for row in record.rows.get(table, [])]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

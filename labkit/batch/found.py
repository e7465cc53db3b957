"""What runs have found: their records, read from wherever they lie, and their rows as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from labkit.chapters.chapter import find_chapter
from labkit.errors import LabkitError
from labkit.lab.record import Record, Row, read_record
from labkit.profile import PROFILES, checked_profile


def records_of(what: str, profile: str | None = None, seed: int | None = None) -> list[Record]:
    """Return the records that `what` names, by seed: a file, a folder such as that of a trial, or a chapter.

    Of a chapter it is the largest profile that is recorded, or `profile`, also from ``runs/``. Raises
    LabkitError where there is none, or one cannot be read.
    """
    path = Path(what)
    paths = [path] if path.is_file() else sorted(path.glob("seed-*.json"))
    if not paths:
        chapter = find_chapter(what)
        wanted = [checked_profile(profile)] if profile else [*reversed(PROFILES)]
        places = [
            chapter.root / top / chapter.slug / size
            for size in wanted
            for top in (["results", "runs"] if profile or size == "smoke" else ["results"])
        ]
        paths = next(filter(None, (sorted(place.glob("seed-*.json")) for place in places)), [])
    found = [record for record in map(read_record, paths) if seed in (None, record.seed)]
    if not found:
        asked = f"{what}{f' {profile}' if profile else ''}{f' seed {seed}' if seed is not None else ''}"
        raise LabkitError(f"no record of {asked}; `labkit list` says which there are")
    return sorted(found, key=lambda record: record.seed)


def made_of(records: Sequence[Record]) -> str:
    """Return in a line what was run, of which code and where."""
    first = records[0]
    seeds = ", ".join(str(record.seed) for record in records)
    sha, clean = str(first.commit.get("sha", "none")), first.commit.get("clean")
    parts = [
        f"{first.chapter} {first.profile}, seed{'s' * (len(records) > 1)} {seeds}",
        *(f"{name}={value}" for name, value in first.parameters.items()),
        f"commit {sha[:8]}{'' if clean else ', changed'}",
        f"{first.machine}, {first.precision}",
        f"{fmean(record.seconds for record in records) / 60:.1f} minutes a seed",
    ]
    return " · ".join(parts)


def mean_rows(records: Sequence[Record], table: str) -> tuple[list[Row], str]:
    """Return the rows of `table`, numbers as means over the records, and a word on what they are.

    Where the records do not have the same rows, they are those of the first alone.
    """
    tables = [record.rows[table] for record in records if table in record.rows]
    if len(tables) == 1 or len({tuple(map(_words, rows)) for rows in tables}) > 1:
        return tables[0], f"seed {next(record.seed for record in records if table in record.rows)}"
    rows = [
        {name: _mean([row[name] for row in same]) for name in same[0]} for same in zip(*tables, strict=True)
    ]
    return rows, f"means over {len(tables)} seeds"


def _words(row: Row) -> tuple[Any, ...]:
    return tuple((name, None if _is_number(value) else value) for name, value in row.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mean(values: Sequence[Any]) -> Any:
    if len(set(values)) == 1:
        return values[0]
    return fmean(values) if all(map(_is_number, values)) else values[0]


def differences(one: Sequence[Record], other: Sequence[Record]) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield for each table its name, a sentence, and rows whose numbers are those of `other` minus `one`."""
    names = [{name for record in records for name in record.rows} for records in (one, other)]
    for name in sorted(names[0] | names[1]):
        if name not in names[0] & names[1]:
            yield name, f"only in the {'first' if name in names[0] else 'second'}", []
            continue
        (before, _), (after, _) = mean_rows(one, name), mean_rows(other, name)
        if before == after:
            yield name, "the same", []
        elif [*map(_words, before)] != [*map(_words, after)]:
            yield name, f"other rows: {len(before)} and {len(after)}", []
        else:
            pairs = zip(before, after, strict=True)
            yield name, "second minus first", [_minus(row, to) for row, to in pairs if row != to]


def _minus(before: Row, after: Row) -> Row:
    """Return what a row says in words, and how much its numbers have changed; what stayed the same stays."""
    return {
        name: f"{after[name] - value:+.4g}" if _is_number(value) and after[name] != value else value
        for name, value in before.items()
    }


def as_text(rows: Sequence[Row], longest: int) -> str:
    """Return rows in columns under their names, no more than `longest`, and how many more there are."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_cell(row.get(name)) for name in names] for row in rows[:longest])]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return f"{text}\n… {len(rows) - longest} more" if len(rows) > longest else text


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

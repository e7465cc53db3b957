"""What was run where: the tables of the page of recorded runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from docutils import nodes

from labkit.chapters.chapter import Chapter
from labkit.lab.record import Record
from labkit.lab.rehearsal import not_yet_run
from labkit.lab.standing import Standing
from labkit.site.directives.tables import table


def rehearsals(there: Sequence[Chapter]) -> Iterator[nodes.Node]:
    """Yield a list of the chapters whose full size was rehearsed and not recorded, where there are any."""
    told = [f"{chapter.number} {text}." for chapter in there if (text := not_yet_run(chapter, "full"))]
    if told:
        yield nodes.rubric("", "Rehearsed")
        yield nodes.bullet_list("", *(nodes.list_item("", nodes.paragraph(text=text)) for text in told))


def recorded_runs(found: Sequence[Standing]) -> Iterator[nodes.Node]:
    """Yield for each chapter and profile its runs in a table, and in a list what they were made of."""
    for standing in found:
        name = f"{standing.chapter.number}: {standing.chapter.title()}, profile {standing.profile}"
        yield nodes.rubric("", name)
        yield table(["Seed", "Time", "Memory", "Precision", "Hardware", "Commit"], _runs(standing.records))
        made_of = [
            f"Libraries: {_each(map(_libraries, standing.records))}.",
            f"Parameters: {_each(map(_parameters, standing.records))}.",
            *_data(standing.records),
            *_weights(standing.records),
            f"Code: {standing.code.sentence}.",
        ]
        yield nodes.bullet_list("", *(nodes.list_item("", nodes.paragraph(text=text)) for text in made_of))


def _runs(records: Sequence[Record]) -> list[list[str | nodes.Node]]:
    return [
        [
            str(record.seed),
            _duration(record.seconds),
            f"{record.peak_memory_mb / 1000:.1f}\u00a0GB",
            record.precision,
            record.machine,
            nodes.literal(text=str(record.commit.get("sha", ""))[:8] or "–"),
        ]
        for record in records
    ]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f}\u00a0s" if seconds < 100 else f"{seconds / 60:.1f}\u00a0min"


def _each(texts: Iterator[str]) -> str:
    """Return what all seeds have in common, or each of the variants there are."""
    return "; or ".join(dict.fromkeys(texts))


def _libraries(record: Record) -> str:
    return ", ".join(f"{name} {version}" for name, version in record.versions.items())


def _parameters(record: Record) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in record.parameters.items()) or "none"


def _data(records: Sequence[Record]) -> list[str]:
    parts = [part for record in records for part in record.data]
    texts = (
        f"Data: {part['name']}, {_number(part)}, fingerprint {part['fingerprint']}; "
        f"{part['differences'] or 'as published'}."
        for part in parts
    )
    return list(dict.fromkeys(texts))


def _weights(records: Sequence[Record]) -> list[str]:
    parts = [part for record in records for part in record.weights]
    texts = (
        f"Pretrained network: {part['name']}, weights {part['fingerprint']} of {part['source']}, "
        f"licence: {part['licence']}."
        for part in parts
    )
    return list(dict.fromkeys(texts))


def _number(part: dict[str, Any]) -> str:
    """Return how many images, or other examples, a run had."""
    [kind] = {"images", "examples"} & part.keys()
    return f"{part[kind]:,} {kind}"

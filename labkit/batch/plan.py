"""What a command asks for: jobs, each one run of one chapter as plain values, checked before any begins."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from labkit.errors import LabkitError

State = Literal["recorded", "executed", "skipped", "failed"]
# Nine digits: some libraries take seeds of 32 bits, and chapters add to the seed they are given.
LARGEST_SEED = 999_999_999
MOST_SEEDS = 1_000


@dataclass(frozen=True)
class Job:
    """What to run; every field is text, a number or a boolean, so that a job travels anywhere."""

    slug: str
    profile: str
    seed: int
    parameters: dict[str, int | float | bool | str]
    root: str
    force: str = ""  # who asks to run again what is recorded: a text that each command makes anew


@dataclass(frozen=True)
class Outcome:
    """What came of a job; `detail` is one line: the file written or found, or what went wrong.

    A run is `recorded` under results/, or only `executed`: the smoke profile, and trials of other parameters.
    """

    job: Job
    state: State
    detail: str
    seconds: float = 0.0


def seeds_of(seed: int | None, seeds: str | None) -> list[int]:
    """Return the seeds that ``--seed`` and ``--seeds`` ask for, in order and each once; 0 where neither does.

    `seeds` holds numbers and ranges: ``0,1,2`` or ``0-2,7``. Raises LabkitError for anything else and for too
    many.
    """
    if seeds is None:
        return [seed or 0]
    if seed is not None:
        raise LabkitError("use either --seed N or --seeds N,N,…, not both")
    ranges = []
    for part in seeds.split(","):
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise LabkitError(
                f"--seeds takes whole numbers and rising ranges such as 0,1,2 or 0-2, not {seeds!r}"
            )
        ranges.append(range(first, last + 1))
    if (count := sum(map(len, ranges))) > MOST_SEEDS:
        raise LabkitError(f"--seeds {seeds} asks for {count:,} seeds; allowed: {MOST_SEEDS:,}")
    return list(dict.fromkeys(chain.from_iterable(ranges)))


def planned(
    names: Sequence[str], profile: str, seeds: Sequence[int], texts: Sequence[str], *, force: bool = False
) -> list[Job]:
    """Return the jobs for chapters (or ``all``) and seeds, once every name and parameter has been checked.

    Raises LabkitError for the first that is unknown or of another type.
    """
    from labkit.batch.runner import defaults_of
    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.chapters.parameters import checked, from_texts

    forced = uuid.uuid4().hex if force else ""
    for option in ("profile", "seed"):
        if any(text.startswith(f"{option}=") for text in texts):
            raise LabkitError(f"use --{option}, not -p {option}=…")
    jobs = []
    for chapter in chapters() if tuple(names) == ("all",) else dict.fromkeys(map(find_chapter, names)):
        defaults = defaults_of(chapter)
        parameters = from_texts(texts, defaults, chapter.slug)
        for seed in seeds:
            checked({"profile": profile, "seed": seed, **parameters}, defaults, chapter.slug)
            jobs.append(Job(chapter.slug, profile, seed, parameters, str(chapter.root), forced))
    return jobs

"""Engines: jobs in, their outcomes out as they come; on this machine's cores or on a cluster through dask."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol

from labkit.batch.cluster import Dask
from labkit.batch.jobs import perform, perform_apart, shares
from labkit.batch.plan import Job, Outcome
from labkit.errors import LabkitError
from labkit.machine import cores

ENGINES = ("local", "dask")
ADDRESS = re.compile(r"(tcp|tls)://([\w.-]+|\[[\w.:%]+\]):[0-9]{1,5}")


class Engine(Protocol):
    """Something that does jobs."""

    def outcomes(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """Yield one outcome for each job, as they complete; closing the iterator stops what it can."""


@dataclass(frozen=True)
class Local:
    """This machine: `side_by_side` jobs at a time, the cores divided among them."""

    side_by_side: int = 1
    verbose: bool = False

    def outcomes(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """Yield the outcomes; when closed, the running jobs are stopped and the others not begun."""
        if self.side_by_side == 1:
            for job in jobs:
                yield perform(job, verbose=self.verbose)
            return
        environment = shares(cores(), self.side_by_side)
        leash, hand = os.pipe()
        pool = ThreadPoolExecutor(self.side_by_side)
        try:
            futures = [pool.submit(perform_apart, job, environment, leash) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            os.close(hand)
            pool.shutdown()
            os.close(leash)


def choose(
    name: str, *, side_by_side: int | None, scheduler: str | None, gpus: int | None, verbose: bool
) -> Engine:
    """Return the engine called `name` with its options; LabkitError names what is allowed."""
    if name not in ENGINES:
        raise LabkitError(f"unknown engine {name!r}; allowed: {', '.join(ENGINES)}")
    if name == "local":
        if scheduler is not None or gpus is not None:
            raise LabkitError("--scheduler and --gpus are options of --engine dask")
        if verbose and (side_by_side or 1) > 1:
            raise LabkitError("--verbose shows one run at a time: it goes with --jobs 1")
        return Local(side_by_side or 1, verbose)
    if side_by_side is not None or verbose:
        raise LabkitError("--jobs and --verbose are options of --engine local")
    address = scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        raise LabkitError("--engine dask needs --scheduler tcp://HOST:PORT or DASK_SCHEDULER_ADDRESS")
    if not ADDRESS.fullmatch(address):
        raise LabkitError(
            f"a scheduler's address is tcp://HOST:PORT or tls://HOST:PORT, not {address[:100]!r}"
        )
    return Dask(address, gpus or 0)


def watched(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """Yield the outcomes under a bar that counts them; a failure is told at once, in a line."""
    from tqdm import tqdm

    with tqdm(total=total, desc="runs", unit="run", disable=total == 1) as bar:
        for outcome in outcomes:
            if outcome.state == "failed":
                tqdm.write(f"Error: {outcome.detail}", file=sys.stderr)
            bar.update()
            yield outcome


def table(outcomes: Iterable[Outcome]) -> str:
    """Return a line for each outcome, sorted by chapter, profile and seed, under the names of the columns."""
    rows = [("chapter", "profile", "seed", "seconds", "outcome")]
    for outcome in sorted(outcomes, key=lambda each: (each.job.slug, each.job.profile, each.job.seed)):
        job, detail = outcome.job, outcome.detail.removeprefix(f"{outcome.job.slug}: ")
        rows.append(
            (job.slug, job.profile, str(job.seed), f"{outcome.seconds:.0f}", f"{outcome.state}: {detail}")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )

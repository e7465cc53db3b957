"""Engines: jobs in, their outcomes out as they come; on this machine's cores or on a cluster through dask."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from labkit.batch.jobs import Job, Outcome, perform, perform_apart, shares
from labkit.errors import LabkitError, one_line

if TYPE_CHECKING:
    from distributed import Client

ENGINES = ("local", "dask")
PATIENCE = 5  # seconds for a scheduler to answer


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


@dataclass(frozen=True)
class Dask:
    """A dask.distributed cluster whose workers see the book's folder under the same path.

    Each job asks for `gpus` of the resource ``GPU``. The job of a worker that dies goes to another one.
    """

    scheduler: str
    gpus: int = 0

    def outcomes(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """Yield the outcomes; when closed, jobs that no worker has begun are withdrawn.

        Raises LabkitError where distributed is not installed or no scheduler answers.
        """
        try:
            from distributed import as_completed
        except ImportError as error:
            raise LabkitError("the engine dask needs: pip install 'labkit[cluster]'") from error
        with self._client() as client:
            able = client.scheduler_info(n_workers=-1)["workers"].values()
            if not any(worker["resources"].get("GPU", 0) >= self.gpus for worker in able):
                needed = f" with --resources GPU={self.gpus}" if self.gpus else ""
                print(f"{self.scheduler} has no worker{needed} yet: waiting for one", file=sys.stderr)
            wants = {"GPU": self.gpus} if self.gpus else None
            # pure=False: the outcome depends on files, so dask must not answer from what it remembers.
            futures = {
                client.submit(_on_worker, job, self.gpus, resources=wants, pure=False): job for job in jobs
            }
            for future in as_completed(futures, loop=client.loop):
                lost = future.exception()
                yield (
                    Outcome(futures[future], "failed", one_line(type(lost).__name__, str(lost)))
                    if lost
                    else future.result()
                )

    def _client(self) -> Client:
        from distributed import Client

        try:
            return Client(self.scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = one_line(type(error).__name__, str(error))
            raise LabkitError(f"no dask scheduler answers at {self.scheduler!r} ({reason})") from error


def _on_worker(job: Job, gpus: int) -> Outcome:
    """Run the job with its share of the worker's cores: as many run beside it as have threads and GPUs."""
    from distributed import get_worker

    state: Any = get_worker().state
    side_by_side = state.nthreads
    if gpus:
        side_by_side = min(side_by_side, int(state.total_resources["GPU"] // gpus))
    return perform_apart(job, shares(cores(), side_by_side))


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
    return Dask(address, gpus or 0)


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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

"""The engine of a cluster: jobs go to the workers of a dask scheduler."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.batch.jobs import perform_apart, shares
from labkit.batch.plan import Job, Outcome
from labkit.errors import LabkitError, one_line
from labkit.machine import cores

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 5  # seconds for a scheduler to answer


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
        from tqdm import tqdm

        with self._client() as client:
            able = client.scheduler_info(n_workers=-1)["workers"].values()
            if not any(worker["resources"].get("GPU", 0) >= self.gpus for worker in able):
                needed = f" with --resources GPU={self.gpus}" if self.gpus else ""
                tqdm.write(f"{self.scheduler} has no worker{needed} yet: waiting for one", file=sys.stderr)
            wants = {"GPU": self.gpus} if self.gpus else None
            # pure=False: the outcome depends on files, so dask must not answer from what it remembers.
            futures = {
                client.submit(_on_worker, job, self.gpus, resources=wants, pure=False): job for job in jobs
            }
            for future in as_completed(futures, loop=client.loop):
                job = futures[future]
                if future.cancelled():
                    yield Outcome(job, "failed", f"{job.slug}: seed {job.seed} lost {self.scheduler}")
                elif lost := future.exception():
                    yield Outcome(job, "failed", one_line(job.slug, f"{type(lost).__name__}: {lost}"))
                else:
                    yield future.result()

    def _client(self) -> Client:
        from distributed import Client, Security

        # What goes wrong is told here, in one line; dask logs it with a traceback.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            security = Security()
            arguments = security.get_connection_args("client")
        except (OSError, ValueError) as error:
            raise LabkitError(one_line("the certificates dask is configured to use", str(error))) from error
        if self.scheduler.startswith("tls:") and arguments["ssl_context"] is None:
            raise LabkitError(
                f"{self.scheduler} needs certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE "
                "and DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"
            )
        try:
            asyncio.run(_knock(self.scheduler, arguments))
            return Client(self.scheduler, security=security, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, RuntimeError) as error:
            reason = one_line(type(error).__name__, str(error))
            raise LabkitError(f"no dask scheduler answers at {self.scheduler!r} ({reason})") from error


async def _knock(address: str, arguments: dict[str, Any]) -> None:
    """Open a connection to the scheduler and close it.

    A client that cannot connect tells of it for seconds, on many lines; of a web server it waits for ever.
    """
    from distributed.comm.core import connect

    connection = await asyncio.wait_for(connect(address, timeout=PATIENCE, **arguments), PATIENCE + 1)
    await connection.close()


def _on_worker(job: Job, gpus: int) -> Outcome:
    """Run the job with its share of the worker's cores: as many run beside it as have threads and GPUs."""
    from distributed import get_worker

    state: Any = get_worker().state
    side_by_side = state.nthreads
    if gpus:
        side_by_side = min(side_by_side, int(state.total_resources["GPU"] // gpus))
    return perform_apart(job, shares(cores(), side_by_side))

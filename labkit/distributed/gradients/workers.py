"""Processes that train together, started from a notebook: each has a replica and does what it is told.

They are started once and serve many trainings. The notebook tells them which step is next and they exchange
gradients among themselves, by `torch.distributed`. All of it stays on this machine: they find each other by a
file and talk over its loopback interface, so no port is taken.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
import torch.distributed as dist

from labkit.distributed.gradients.replica import Replica, Task
from labkit.errors import LabkitError, one_line
from labkit.machine import spend

if TYPE_CHECKING:  # not there on every system
    from multiprocessing.context import ForkServerContext, SpawnContext

PATIENCE = 1800.0  # seconds that an answer may take, on a busy machine; who ends is noticed at once


class Local:
    """What a worker knows of itself; `replica` is what it trains at present."""

    def __init__(self, rank: int, groups: dict[int, dist.ProcessGroup], device: torch.device) -> None:
        self.rank, self.groups, self.device = rank, groups, device
        self.transport = device if dist.get_backend() == "nccl" else torch.device("cpu")
        self.replica: Replica | None = None


class Workers:
    """`count` processes, of which a training takes the first few.

    `sizes` says how many a training may take. Raises LabkitError, and ends them all, where one of them ends,
    fails or does not answer for `patience` seconds.
    """

    def __init__(self, count: int, sizes: Sequence[int] = (), patience: float = PATIENCE) -> None:
        self.count, self.patience = count, patience
        folder = tempfile.mkdtemp(prefix="workers-")
        context = _context()
        self._lines: list[Connection] = []
        self._spent = [0.0] * count  # seconds of each processor, as last told
        self.processes: list[BaseProcess] = []
        for rank in range(count):
            here, there = context.Pipe()
            arguments = (rank, count, tuple(sorted({*sizes, count})), folder, patience, there)
            process = context.Process(target=serve, args=arguments, daemon=True)
            # Else each would import once more the program that starts it, of which it needs nothing.
            with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
                process.start()
            there.close()
            self._lines.append(here)
            self.processes.append(process)
        self._end = weakref.finalize(self, _end, self._lines, self.processes, folder)
        self.call(count, ready)

    def call(self, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what `function(local, *arguments)` returns on each of the first `size` workers."""
        if not self._end.alive:
            raise LabkitError("these workers have ended: start new ones")
        message = pickle.dumps((function, arguments))
        try:
            for line in self._lines[:size]:
                # One that has just ended cannot be written to: below it is found, and told with its reason.
                with contextlib.suppress(OSError):
                    line.send_bytes(message)
            return self._answers(size)
        except BaseException:
            self.close()  # whatever it was, some of them now wait for others
            raise

    def _answers(self, size: int) -> list[Any]:
        answers: dict[int, Any] = {}
        errors: dict[int, str] = {}
        ends = {process.sentinel for process in self.processes}
        lines = {line: rank for rank, line in enumerate(self._lines[:size])}
        while len(answers) < size:
            waiting = [line for line, rank in lines.items() if rank not in answers]
            found = wait([*waiting, *ends], self.patience)
            if not found:
                silent = ", ".join(str(lines[line]) for line in waiting)
                raise LabkitError(f"no answer for {self.patience:g} s from worker {silent} of {self.count}")
            for line in found:
                if isinstance(line, Connection):
                    rank = lines[line]
                    with contextlib.suppress(EOFError, OSError):  # it has ended, which is seen as well
                        fine, value, spent = pickle.loads(line.recv_bytes())
                        (answers if fine else errors)[rank] = value
                        spend(spent - self._spent[rank])
                        self._spent[rank] = spent
            if errors or ends.intersection(found):
                raise LabkitError(self._failure(errors))
        return [answers[rank] for rank in range(size)]

    def _failure(self, errors: dict[int, str]) -> str:
        """Return what went wrong first; `errors` is what workers have told."""
        # Who waited for one that was killed tells an error of its own, perhaps before that end is known.
        wait([each.sentinel for rank, each in enumerate(self.processes) if rank not in errors], 1.0)
        codes = [process.exitcode for process in self.processes]
        for rank, code in enumerate(codes):
            if code:
                how = f"was ended by signal {-code}" if code < 0 else f"has ended with status {code}"
                return f"worker {rank} of {self.count} {how}"
        for rank, error in errors.items():
            return f"worker {rank} of {self.count}: {error}"
        return f"worker {codes.index(0)} of {self.count} has ended"

    def close(self) -> None:
        """End the workers; a second call does nothing."""
        self._end()


def _context() -> ForkServerContext | SpawnContext:
    """Return how processes are started: as copies of one that has imported all there is to import.

    That one has nothing of the notebook's, no threads and no GPU in use. Where there is no fork, each begins
    from nothing.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", __name__])  # DDP imports the former, for 1.3 s
    return context


def _end(lines: Sequence[Connection], processes: Sequence[BaseProcess], folder: str) -> None:
    for line in lines:
        line.close()  # who waits for orders ends by itself
    for process in processes:
        process.join(0.5)
        if process.is_alive():
            process.kill()
            process.join()
    shutil.rmtree(folder, ignore_errors=True)


def serve(
    rank: int, count: int, sizes: Sequence[int], folder: str, patience: float, line: Connection
) -> None:
    """Be worker `rank` of `count`: do what comes over `line` until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted notebook ends its workers itself
    with contextlib.suppress(EOFError, OSError):
        try:
            local = _joined(rank, count, sizes, Path(folder), patience)
            while True:
                function, arguments = pickle.loads(line.recv_bytes())
                value = function(local, *arguments)
                line.send_bytes(pickle.dumps((True, value, time.process_time())))
        except (EOFError, OSError):
            pass  # the notebook has gone
        except Exception as error:
            told = one_line(type(error).__name__, str(error))
            line.send_bytes(pickle.dumps((False, told, time.process_time())))
    # Not taken down in order: where another worker has ended, that would wait for it.
    os._exit(0)


def _joined(rank: int, count: int, sizes: Sequence[int], folder: Path, patience: float) -> Local:
    """Join the group of all workers, and make one of the first `size` for each of `sizes`."""
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # as in the notebook
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", rank % gpus) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback())
    dist.init_process_group(
        "nccl" if gpus >= count else "gloo",  # NCCL wants a GPU for each
        store=dist.FileStore(str(folder / "store"), count),  # type: ignore[attr-defined]
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=patience),
    )
    groups = {size: dist.new_group(list(range(size))) for size in sizes}
    return Local(rank, groups, device)


def loopback() -> str:
    """Return the name of the interface by which a machine talks to itself: lo, on a Mac lo0."""
    return next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")


# What workers are told to do: each of these runs on a worker.


def ready(local: Local) -> int:
    """Return the worker's number: it is there."""
    return local.rank


def prepare(local: Local, size: int, task: Task) -> None:
    """Take up `task` as one of `size` workers; what was trained before is forgotten."""
    group = local.groups[size]
    local.replica = Replica(task, local.rank, size, group, local.device, local.transport)


def step(local: Local, number: int) -> float:
    """Do a step; return the loss of this worker's part of the batch."""
    return _replica(local).step(number)


def weights(local: Local) -> dict[str, Any]:
    """Return the state of the network."""
    return _replica(local).weights()


def digest(local: Local) -> str:
    """Return a digest of the weights."""
    return _replica(local).digest()


def state(local: Local) -> dict[str, Any]:
    """Return the state of the worker's training."""
    return _replica(local).state()


def restore(local: Local, states: Sequence[dict[str, Any]]) -> None:
    """Take back the one of `states`, by number of the worker, that is this worker's."""
    _replica(local).restore(states[local.rank])


def traffic(local: Local) -> dict[str, float]:
    """Return bytes, rounds and seconds a step."""
    return _replica(local).traffic()


def _replica(local: Local) -> Replica:
    assert local.replica is not None, "a task comes first"
    return local.replica

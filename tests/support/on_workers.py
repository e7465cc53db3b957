"""What the tests have workers do: functions that their processes can import."""

from __future__ import annotations

import os
import signal
import time

import torch
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from labkit.distributed.gradients.replica import Task
from labkit.distributed.gradients.workers import Local


def fail(local: Local, rank: int) -> None:
    if local.rank == rank:
        raise ValueError("a plate was dropped")


def vanish(local: Local, rank: int) -> None:
    """End without a word, where the others wait for an exchange."""
    if local.rank == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()


def sleep(local: Local, seconds: float) -> None:
    time.sleep(seconds)


def burn(local: Local, seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def gradient_of_ddp(local: Local, size: int, task: Task) -> list[torch.Tensor]:
    """Return the gradients of the first step as DDP has them without a hook."""
    model = DistributedDataParallel(task.model, process_group=local.groups[size])
    batch = task.recipe.loader(task.images, task.seed).batch(0)
    here = slice(local.rank, None, size)
    F.cross_entropy(model(batch.x[here]), batch.y[here]).backward()
    return [parameter.grad for parameter in model.parameters()]


def gradient_of_replica(local: Local) -> list[torch.Tensor]:
    assert local.replica is not None
    return [parameter.grad for parameter in local.replica.model.parameters()]

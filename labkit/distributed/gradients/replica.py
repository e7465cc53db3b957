"""One worker's side of a data-parallel training: its copy of the network, its share of each batch, its step.

Every worker makes the same batches from the same seed and keeps its own part of each. Weights never travel:
all begin alike, and all apply the same mean gradient.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from labkit.data.batches import Batch, Loader
from labkit.data.images import Images
from labkit.distributed.gradients.schemes import Scheme
from labkit.distributed.gradients.wire import Wire
from labkit.errors import LabkitError
from labkit.randomness import stream
from labkit.training.precision import choose
from labkit.training.recipe import Recipe

# What DDP calls whether buffers are sent before each forward pass: torch 2.13 renamed it.
SYNCHRONISED = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)


@dataclass(frozen=True)
class Task:
    """What is trained and how: the same for all workers."""

    model: nn.Module
    images: Images
    recipe: Recipe
    seed: int
    scheme: Scheme


class Exchange:
    """The communication hook of DDP: replaces the gradients of a bucket by their mean over workers."""

    def __init__(self, model: nn.Module, scheme: Scheme, wire: Wire, seed: int) -> None:
        self.scheme, self.wire, self.seed = scheme, wire, seed
        self.seconds = 0.0
        self._layers = {id(parameter): number for number, parameter in enumerate(model.parameters())}
        self._generator = stream(seed, 0)

    def begin(self, step: int) -> None:
        """Draw from here on what belongs to `step`: other numbers for every worker and every step."""
        self._generator = stream(self.seed, (self.wire.rank + 1) * 2**40 + step)

    def of(self, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
        """Do what DDP asks of a hook."""
        began, waited = self.wire.clock(), self.wire.waited
        gradients = bucket.gradients()  # views: one for each layer
        layers = [self._layers[id(parameter)] for parameter in bucket.parameters()]
        for gradient, mean in zip(
            gradients, self.scheme.mean(gradients, layers, self.wire, self._generator), strict=True
        ):
            gradient.copy_(mean)
        self.seconds += self.wire.clock() - began - (self.wire.waited - waited)
        done: torch.futures.Future[Tensor] = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done


class Replica:
    """A worker's copy of the network of a task, and what trains it."""

    def __init__(
        self,
        task: Task,
        rank: int,
        size: int,
        group: dist.ProcessGroup | None,
        device: torch.device,
        transport: torch.device,
    ) -> None:
        if task.recipe.batch % size:
            raise LabkitError(f"a batch of {task.recipe.batch} cannot be shared by {size} workers alike")
        self.task, self.rank, self.size = task, rank, size
        self._clock = _clock(device)
        self._format = choose(device, "float32")
        self.model = self._format.place(task.model.to(device).train())
        # Statistics of BatchNorm are those of the first worker's part of each batch.
        normed = any(name.endswith("running_mean") for name, _ in self.model.named_buffers())
        how: dict[str, Any] = {SYNCHRONISED: normed, "bucket_cap_mb": 1024}  # all layers in one exchange
        self._parallel = DistributedDataParallel(self.model, process_group=group, **how)
        self.wire = Wire(rank, size, group, transport, self._clock)
        self.exchange = Exchange(self.model, task.scheme, self.wire, task.seed)
        # A lambda: DDP looks at annotations, and does not know them as texts.
        self._parallel.register_comm_hook(self.exchange, lambda exchange, bucket: exchange.of(bucket))
        self.optimizer: Optimizer = task.recipe.sgd(self.model.parameters())
        self._loader: Loader = task.recipe.loader(task.images.to(device), task.seed)
        self._factor = task.recipe.factor()
        self._seconds = 0.0
        self._steps = 0

    def step(self, number: int) -> float:
        """Do step `number` together with the other workers; return the loss of this worker's part."""
        began, waited = self._clock(), self.wire.waited
        for group in self.optimizer.param_groups:
            group["lr"] = self.task.recipe.learning_rate * self._factor(number)
        self.exchange.begin(number)
        part = self._part(number)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self._parallel(self._format.layout(part.x)), part.y)
        loss.backward()
        self.optimizer.step()
        self._seconds += self._clock() - began - (self.wire.waited - waited)
        self._steps += 1
        return loss.item()

    def _part(self, number: int) -> Batch:
        batch = self._loader.batch(number)
        here = slice(self.rank, None, self.size)
        return Batch(batch.x[here], batch.y[here], batch.index[here])

    def weights(self) -> dict[str, Tensor]:
        """Return the state of the network, on the CPU."""
        return {name: value.cpu().clone() for name, value in self.model.state_dict().items()}

    def digest(self) -> str:
        """Return 16 hexadecimal digits that are the same where all weights are, to the last bit."""
        found = hashlib.sha256()
        for value in self.model.parameters():
            found.update(value.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]

    def state(self) -> dict[str, Any]:
        """Return what a later start needs to go on exactly."""
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheme": self.task.scheme.state_dict(),
            "sent": dict(self.wire.sent),
            "counts": [self._steps, self.wire.rounds],
            "seconds": [self._seconds, self.exchange.seconds],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.task.scheme.load_state_dict(state["scheme"])
        self.wire.sent = dict(state["sent"])
        self._steps, self.wire.rounds = state["counts"]
        self._seconds, self.exchange.seconds = state["seconds"]

    def traffic(self) -> dict[str, float]:
        """Return, a step: bytes this worker sent (`scales`, `push`, `pull`), rounds and seconds.

        `compute` is all that is no exchange; `codec` is the part of it that makes gradients into bytes and
        back. On a CPU seconds are those of the thread, not of the clock on the wall.
        """
        steps = max(1, self._steps)
        sent = {what: self.wire.sent.get(what, 0) / steps for what in ("scales", "push", "pull")}
        return {
            **sent,
            "rounds": self.wire.rounds / steps,
            "compute": self._seconds / steps,
            "codec": self.exchange.seconds / steps,
        }


def _clock(device: torch.device) -> Callable[[], float]:
    if device.type == "cpu":
        return time.thread_time

    def synchronized() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronized

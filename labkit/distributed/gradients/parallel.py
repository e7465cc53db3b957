"""A data-parallel training as the notebook sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from labkit.data.images import Images
from labkit.distributed.gradients import workers as on_worker
from labkit.distributed.gradients.replica import Task
from labkit.distributed.gradients.schemes import Scheme
from labkit.distributed.gradients.workers import Workers
from labkit.training.callbacks import Callback, Training
from labkit.training.history import History
from labkit.training.recipe import Recipe
from labkit.training.steps import repeat


@dataclass(frozen=True)
class Trained:
    """What a training has left: its history, and for each worker what `Replica.traffic` tells."""

    history: History
    traffic: list[dict[str, float]]

    def a_step(self, what: str) -> float:
        """Return what a worker sent, waited for or computed in a step, the mean over workers."""
        return fmean(worker[what] for worker in self.traffic)


class Replicas:
    """The replicas of a training, in other processes, as one of its parts: what a checkpoint asks for."""

    def __init__(self, workers: Workers, size: int) -> None:
        self.workers, self.size = workers, size

    def state_dict(self) -> Mapping[str, Any]:
        """Return the states of all workers, by number."""
        found = self.workers.call(self.size, on_worker.state)
        return {str(rank): state for rank, state in enumerate(found)}

    def load_state_dict(self, state_dict: Any) -> None:
        """Give each worker its state back."""
        states = [state_dict[str(rank)] for rank in range(self.size)]
        self.workers.call(self.size, on_worker.restore, states)


class Fetch(Callback):
    """Brings the first worker's weights into the training's `model` every `every` steps and at the end."""

    def __init__(self, replicas: Replicas, model: nn.Module, every: int) -> None:
        self.replicas, self.model, self.every = replicas, model, every

    def on_step_end(self, training: Training) -> None:
        """Fetch them when it is time."""
        if (training.step + 1) % self.every == 0 or training.step + 1 == training.steps:
            [state] = self.replicas.workers.call(1, on_worker.weights)
            self.model.load_state_dict(state)


def train_in_parallel(
    workers: Workers,
    size: int,
    model: nn.Module,
    images: Images,
    recipe: Recipe,
    seed: int,
    scheme: Scheme,
    *,
    every: int = 0,
    callbacks: Sequence[Callback] = (),
    title: str = "train",
) -> Trained:
    """Train `model` in place on the first `size` of `workers`, who share each batch of `recipe`.

    With one worker and `Float` that is `labkit.training.recipe.train` in float32, to the last bit on a CPU.
    Callbacks see `model` with the weights as they are after every `every` steps, and at the end. It resumes
    exactly where the last of them is a checkpoint.
    """
    workers.call(size, on_worker.prepare, size, Task(model.cpu(), images.to("cpu"), recipe, seed, scheme))
    model.to(images.x.device)
    replicas = Replicas(workers, size)
    fetch = Fetch(replicas, model, every or recipe.steps)
    training = Training({"model": model, "replicas": replicas}, recipe.steps, [fetch, *callbacks])

    def step(number: int) -> Tensor:
        return torch.tensor(fmean(workers.call(size, on_worker.step, number)))

    history = repeat(step, training, title=title)
    return Trained(history, workers.call(size, on_worker.traffic))

"""The loop under every training: steps, callbacks at their moments, progress, resume, history."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from tqdm import tqdm

from labkit.training.callbacks import Training
from labkit.training.history import History


def repeat(step: Callable[[int], Tensor], training: Training, *, title: str, unit: str = "step") -> History:
    """Call `step(number)` for the steps of `training` that are left, and return its history.

    A step changes the training's parts, which may be any number of networks and optimizers, and returns its
    loss, a scalar, logged as `loss`. A callback that takes an earlier state back, in `on_start`, decides
    where to begin. Progress is shown under `title`, counted in `unit`.
    """
    for callback in training.callbacks:
        callback.on_start(training)
    try:
        for number in tqdm(range(training.done, training.steps), title, unit=unit, leave=False):
            training.step = number
            for callback in training.callbacks:
                callback.on_step_start(training)
            training.history.log("loss", number, step(number))
            for callback in training.callbacks:
                callback.on_step_end(training)
    finally:
        for callback in training.callbacks:
            callback.on_end(training)
    return training.history

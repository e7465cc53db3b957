"""Callbacks about where in a training one is: start late, keep a state, look at held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.data.augment import Transform
from labkit.data.images import Images
from labkit.measure.predict import logits
from labkit.training.callbacks import Callback, Training


class StartAt(Callback):
    """Begins the training at step `step` of schedule and batches, as if the steps before were done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_start(self, training: Training) -> None:
        """Skip the first steps."""
        training.done = self.step


class Snapshot(Callback):
    """Keeps a copy of the model's whole state as it is before step `step`: weights, BatchNorm statistics."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.kept: dict[str, Tensor] = {}

    def on_step_start(self, training: Training) -> None:
        """Copy the state when it is time."""
        if training.step == self.step:
            self.kept = {name: value.clone() for name, value in training.model.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """Return the copy, if it was made."""
        return dict(self.kept)

    def restore(self, state: dict[str, Any]) -> None:
        """Take the copy back."""
        self.kept = state


class ValidationLoss(Callback):
    """Logs `validation_loss`, the mean cross-entropy on held-out `images`, every `every` steps."""

    def __init__(self, images: Images, transforms: Sequence[Transform], every: int) -> None:
        self.images, self.transforms, self.every = images, transforms, every

    def on_step_end(self, training: Training) -> None:
        """Compute and log the loss when it is time."""
        if (training.step + 1) % self.every == 0:
            with torch.no_grad():
                loss = F.cross_entropy(logits(training.model, self.images, self.transforms), self.images.y)
            training.history.log("validation_loss", training.step, loss)

"""Callbacks about where in a training one is: start late, keep a state, look at held-out images."""

from __future__ import annotations

from typing import Any

from torch import Tensor

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

"""What happens beside the training loop: schedules and statistics, called at named moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from labkit.data.batches import Batch
from labkit.training.history import History


@dataclass
class Training:
    """What callbacks see of a training: `step` counts from 0, `loss` is that of the last gradient.

    A callback that restores an earlier state sets `done`, in `on_start`, to the number of steps behind it.
    """

    model: nn.Module
    optimizer: Optimizer
    steps: int
    callbacks: Sequence[Callback] = ()
    history: History = field(default_factory=History)
    done: int = 0
    step: int = 0
    batch: Batch = None  # type: ignore[assignment]  # there from the first step on
    loss: Tensor = None  # type: ignore[assignment]  # there from the first gradient on


class Callback:
    """Base of all callbacks: every moment does nothing."""

    def state(self) -> dict[str, Any]:
        """Return what must survive a stop between two steps: a tree of tensors, numbers and texts."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned; `on_start` was called before."""

    def on_start(self, training: Training) -> None:
        """Before the first step."""

    def on_step_start(self, training: Training) -> None:
        """Before the gradient of a step is computed."""

    def on_gradient(self, training: Training) -> None:
        """After a backward pass, before the weights change; several times a step if the optimizer asks so."""

    def on_step_end(self, training: Training) -> None:
        """After the weights have changed."""

    def on_end(self, training: Training) -> None:
        """After the last step, also when the training was interrupted by an error."""

"""What happens beside the training loop: schedules and statistics, called at named moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from labkit.data.batches import Batch
from labkit.training.history import History


class Part(Protocol):
    """Something that a training changes, with a state of tensors, numbers and texts."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take a state back."""
        ...


@dataclass
class Training:
    """What callbacks see of a training: `step` counts from 0, `loss` is that of the last gradient.

    `parts` is all that changes from step to step: networks, optimizers and the like, by name. The usual
    training has a `model` and an `optimizer`. A callback that restores an earlier state sets `done`, in
    `on_start`, to the number of steps behind it.
    """

    parts: Mapping[str, Part]
    steps: int
    callbacks: Sequence[Callback] = ()
    history: History = field(default_factory=History)
    done: int = 0
    step: int = 0
    batch: Batch = None  # type: ignore[assignment]  # there from the first step on
    loss: Tensor = None  # type: ignore[assignment]  # there from the first gradient on
    model: nn.Module = field(init=False)  # the part of this name, if there is one
    optimizer: Optimizer = field(init=False)  # likewise

    def __post_init__(self) -> None:
        """Name the two parts that most callbacks ask for."""
        self.model, self.optimizer = self.parts.get("model"), self.parts.get("optimizer")  # type: ignore[assignment]


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

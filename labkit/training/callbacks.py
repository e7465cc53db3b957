"""What happens beside the training loop: schedules and statistics, called at named moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


class LearningRate(Callback):
    """Multiplies the optimizer's own learning rates by `factor(step)` before every step."""

    def __init__(self, factor: Callable[[int], float]) -> None:
        self.factor = factor
        self._base: list[float] = []

    def on_start(self, training: Training) -> None:
        """Remember the optimizer's rates."""
        self._base = [group["lr"] for group in training.optimizer.param_groups]

    def on_step_start(self, training: Training) -> None:
        """Set the rates of this step."""
        for group, base in zip(training.optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * self.factor(training.step)


class TrainAccuracy(Callback):
    """Logs `train_accuracy`: the share of the augmented batch that the model, in train mode, gets right."""

    def on_start(self, training: Training) -> None:
        """Listen to the model's output, so that the loss need not be computed twice."""
        self._logits: Tensor | None = None
        self._hook = training.model.register_forward_hook(self._keep)

    def on_step_end(self, training: Training) -> None:
        """Log the accuracy on the step's batch."""
        assert self._logits is not None
        right = self._logits.argmax(1) == training.batch.y
        training.history.log("train_accuracy", training.step, right.float().mean())

    def on_end(self, training: Training) -> None:
        """Stop listening."""
        self._hook.remove()

    def _keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._logits = output.detach()


class GradientMagnitude(Callback):
    """Logs G = max |dL/dw| over the weights of each named layer, the entries of `layers` (name → module)."""

    def __init__(self, layers: Mapping[str, nn.Conv2d | nn.Linear]) -> None:
        self.layers = layers

    def on_gradient(self, training: Training) -> None:
        """Read the gradients before the optimizer sees them."""
        for name, layer in self.layers.items():
            gradient = layer.weight.grad
            assert gradient is not None, f"{name} takes no part in the loss"
            training.history.log(f"G {name}", training.step, gradient.abs().max())


def one_cycle(steps: int, warmup: float = 0.2) -> Callable[[int], float]:
    """Return the factor that rises linearly to 1 over `warmup` of `steps`, then falls linearly to 0.

    After Smith and Topin (2018), without their momentum cycle.
    """
    peak = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        return min((step + 1) / peak, (steps - step) / max(1, steps - peak + 1))

    return factor

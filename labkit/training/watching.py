"""Callbacks that watch a training and log what they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from labkit.training.callbacks import Callback, Training


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
    """Logs how large dL/dw is in each named layer, the entries of `layers` (name → module).

    `G <name>` is the largest absolute value over the layer's weights, `median gradient <name>` the median.
    """

    def __init__(self, layers: Mapping[str, nn.Conv2d | nn.Linear]) -> None:
        self.layers = layers

    def on_gradient(self, training: Training) -> None:
        """Read the gradients before the optimizer sees them."""
        for name, layer in self.layers.items():
            gradient = layer.weight.grad
            assert gradient is not None, f"{name} takes no part in the loss"
            size = gradient.abs()
            training.history.log(f"G {name}", training.step, size.max())
            training.history.log(f"median gradient {name}", training.step, size.median())

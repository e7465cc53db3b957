"""How large the signals are at each layer of a network: forward, backward, and the gradient they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Signal:
    """What one layer gets and gives back in one forward and backward pass of a batch.

    Attributes:
        forward: root mean square of the layer's input, over images, channels and positions.
        image: the same of the input minus its mean over the batch: what differs from image to image.
        backward: root mean square of the derivative of the loss by the layer's output.
        gradient: G = max |dL/dw| over the layer's weights.
        weight: root mean square of these weights.
    """

    forward: float
    image: float
    backward: float
    gradient: float
    weight: float


def signals(
    model: nn.Module, layers: Sequence[nn.Conv2d | nn.Linear], loss: Callable[[], Tensor]
) -> list[Signal]:
    """Return the signals at each of `layers` of `model` while `loss()`, a scalar, passes a batch through it.

    Each layer is used once in a pass. Weights, their `.grad` and the mode of the model stay as they are.
    """
    passed: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        passed[layer] = (inputs[0].detach(), output)

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        value = loss()
    finally:
        for hook in hooks:
            hook.remove()
    outputs, weights = [passed[layer][1] for layer in layers], [layer.weight for layer in layers]
    gradients = torch.autograd.grad(value, [*outputs, *weights])
    return [
        Signal(
            forward=_size(passed[layer][0]),
            image=_size(passed[layer][0] - passed[layer][0].mean(0)),
            backward=_size(by_output),
            gradient=by_weight.abs().max().item(),
            weight=_size(layer.weight),
        )
        for layer, by_output, by_weight in zip(
            layers, gradients[: len(layers)], gradients[len(layers) :], strict=True
        )
    ]


def _size(x: Tensor) -> float:
    """Return the root mean square of `x`, in double precision: squares of what has vanished still count."""
    return x.detach().double().square().mean().sqrt().item()

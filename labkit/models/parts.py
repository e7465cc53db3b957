"""Parts of networks: which weights they have, and how to use one without changing it."""

from __future__ import annotations

from torch import Tensor, nn


def layer_weights(model: nn.Module) -> list[Tensor]:
    """Return the weights of all convolutions and linear layers, in order: no bias, nothing of BatchNorm."""
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """Return all convolutions of `model` in the order of its definition, which is that of the data here."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]

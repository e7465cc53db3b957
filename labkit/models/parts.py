"""Parts of networks: which weights they have, and how to use one without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Hold `model` in train or eval mode inside the context; its own mode is put back whatever happens."""
    was_training = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(was_training)


def evaluating(model: nn.Module) -> AbstractContextManager[None]:
    """Hold `model` in eval mode inside the context; its own mode is put back whatever happens."""
    return in_mode(model, training=False)


def layer_weights(model: nn.Module) -> list[Tensor]:
    """Return the weights of all convolutions and linear layers, in order: no bias, nothing of BatchNorm."""
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """Return all convolutions of `model` in the order of its definition, which is that of the data here."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


@torch.no_grad()
def put(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy `values` into `parameters`, tensor by tensor, in place."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Hold `model` in eval mode, its parameters constants; all is put back, for each part by itself.

    Gradients by the input then cost no more than they must.
    """
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training = [module for module in model.modules() if module.training]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        model.eval()
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True

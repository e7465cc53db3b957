"""How a network bears a change of its weights: at random, and in the direction that hurts most."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from labkit.data.augment import Transform, apply
from labkit.data.images import Images
from labkit.measure.ascent import uphill
from labkit.models.parts import layer_weights, put
from labkit.randomness import stream

# Which tensors of a network are moved: noise, adversary and rounding have to move the same ones.
Moved = Callable[[nn.Module], Sequence[Tensor]]


def gaussian(weights: Sequence[Tensor], scale: float, generator: Generator) -> list[Tensor]:
    """Return noise for each tensor of `weights`: independent N(0, (scale * std of that tensor)^2).

    The scale is relative, because BatchNorm makes the absolute size of most weights meaningless.
    """
    return [scale * w.detach().std(correction=0) * _normal(w, generator) for w in weights]


def with_noise(model: nn.Module, scale: float, draw: int, seed: int = 0) -> nn.Module:
    """Return a copy of `model` with `gaussian` noise on its layer weights.

    The same `draw` and `seed` mean the same normal numbers for every model of the same shape.
    """
    noisy = copy.deepcopy(model)
    weights = layer_weights(noisy)
    with torch.no_grad():
        for weight, noise in zip(weights, gaussian(weights, scale, stream(seed, draw)), strict=True):
            weight.add_(noise)
    return noisy


def recalibrated(model: nn.Module, images: Images, transforms: Sequence[Transform]) -> nn.Module:
    """Return a copy of `model`, in eval mode, whose BatchNorm statistics are those of `images`, one batch."""
    model = copy.deepcopy(model).train()
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 1.0  # the batch's statistics replace the old ones
    with torch.no_grad():
        model(apply(transforms, images.x, Generator()))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model.eval()


def worst_nearby(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    rho: float,
    *,
    moved: Moved = layer_weights,
    steps: int = 10,
    norm: float = 2.0,
) -> nn.Module:
    """Return a copy of `model` with the weights within `rho` whose cross-entropy on (x, y) is highest.

    It is the highest that `steps` steps of `uphill` come by, over the tensors that `moved` names, jointly, in
    eval mode: those that `gaussian` and `quantized` move, or all with `lambda net: list(net.parameters())`.
    """
    model = copy.deepcopy(model).eval()
    tensors = moved(model)
    start = [tensor.detach().clone() for tensor in tensors]
    offsets, highest, worst = [torch.zeros_like(tensor) for tensor in start], -math.inf, start
    for _ in range(steps + 1):
        here = [tensor + offset for tensor, offset in zip(start, offsets, strict=True)]
        put(tensors, here)
        loss = F.cross_entropy(model(x), y)
        if loss.item() > highest:
            highest, worst = loss.item(), here
        offsets = uphill(offsets, torch.autograd.grad(loss, tensors), rho, steps, norm)
    put(tensors, worst)
    return model


def loss_rise(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    rho: float,
    *,
    moved: Moved = layer_weights,
    steps: int = 10,
    norm: float = 2.0,
) -> float:
    """Return by how much the cross-entropy on (x, y), in nats, rises at `worst_nearby`. `model` stays."""
    worst = worst_nearby(model, x, y, rho, moved=moved, steps=steps, norm=norm)
    here = copy.deepcopy(model).eval()
    with torch.no_grad():
        return (F.cross_entropy(worst(x), y) - F.cross_entropy(here(x), y)).item()


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)

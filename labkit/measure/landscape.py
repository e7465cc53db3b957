"""The shape of the loss around trained weights: its curvature, and a slice through it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.measure.ascent import joint_norm
from labkit.models.parts import layer_weights
from labkit.randomness import stream


def top_eigenvalue(
    model: nn.Module, x: Tensor, y: Tensor, *, tolerance: float = 0.01, iterations: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Return the eigenvalue, largest in size, of the Hessian of the cross-entropy on (x, y), and its change.

    The Hessian is that of all parameters, in eval mode; `model` stays as it is. Power iteration from a random
    vector: the Hessian is never formed, its product with a vector is the derivative of the gradient along it
    (Pearlmutter 1994). It ends when an iteration changes the eigenvalue by at most the share `tolerance`, or
    after so many `iterations`. The second number is that last change, a share: has it settled?
    """
    model = copy.deepcopy(model).eval()
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters, create_graph=True)
    generator = stream(seed, 0)
    product: Sequence[Tensor] = [
        torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device) for p in parameters
    ]
    eigenvalue, change = 0.0, math.inf
    for _ in range(iterations):
        length = joint_norm(product) + 1e-12
        vector = [part / length for part in product]
        product = torch.autograd.grad(gradients, parameters, vector, retain_graph=True)
        before = eigenvalue
        eigenvalue = sum((v * p).sum().item() for v, p in zip(vector, product, strict=True))
        change = abs(eigenvalue - before) / (abs(eigenvalue) + 1e-12)
        if change <= tolerance:
            break
    return eigenvalue, change


def filter_direction(weights: Sequence[Tensor], generator: Generator) -> list[Tensor]:
    """Return a random direction in which every filter is as long as the filter of `weights` in its place.

    A filter is what makes one output: an entry along the first axis (Li et al. 2018, section 4).
    """
    direction = []
    for weight in weights:
        drawn = torch.randn(weight.shape, generator=generator, dtype=weight.dtype).to(weight.device)
        lengths = [tensor.detach().flatten(1).norm(dim=1) for tensor in (weight, drawn)]
        ratio = lengths[0] / lengths[1]
        direction.append(drawn * ratio.view(-1, *[1] * (weight.ndim - 1)))
    return direction


@torch.no_grad()
def landscape(model: nn.Module, x: Tensor, y: Tensor, at: Sequence[float], seed: int = 0) -> Tensor:
    """Return the cross-entropy on (x, y) at w + a d1 + b d2 for all a, b of `at`: float64, [a, b].

    d1 and d2 are filter-normalised directions of the layer weights w, drawn alike for all models of a shape;
    other parameters stay, and so does `model`. Eval mode.
    """
    model = copy.deepcopy(model).eval()
    weights = layer_weights(model)
    start = [weight.clone() for weight in weights]
    first, second = (filter_direction(start, stream(seed, number)) for number in (1, 2))
    losses = torch.empty(len(at), len(at), dtype=torch.float64)
    for i, a in enumerate(at):
        for j, b in enumerate(at):
            for weight, w, d1, d2 in zip(weights, start, first, second, strict=True):
                weight.copy_(w + a * d1 + b * d2)
            losses[i, j] = F.cross_entropy(model(x), y)
    return losses

"""Data poisoning: what the attacker's clients learn from, while they learn as everybody does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.distributed.federated.threats import OwnData


def flipped(view: OwnData, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return the images with label l turned into classes - 1 - l (Fang et al. 2020, section 4.1)."""
    return view.x, view.classes - 1 - view.y


@dataclass(frozen=True)
class Bilevel:
    """Poison that is optimised: images whose model, trained to its end, is as bad as can be on clean ones.

    The outer problem is the loss L on clean images of the attacker, the inner one the training on the poison.
    By the implicit function theorem an image x moves the trained weights by -H⁻¹ ∂²L_poison/∂w∂x, so the
    outer loss grows along

        -(∂²L_poison/∂x∂w) H⁻¹ ∂L/∂w .

    It is the alternation of AT2FL (Sun et al. 2020) with one model for all clients: after each round, or
    every few, one step on every poisoned image, projected onto pixels 0..255. The first step starts from
    the images as they were, with flipped labels. The other clients' part of the training is not in its view:
    its own clean images stand for it in H.

    Attributes:
        step: how far a pixel moves, of 255.
        damping: added to H.
        iterations: of conjugate gradients.
        few: on how many clean images, at most, gradient and H are computed.
    """

    step: float = 13.0
    damping: float = 1e-2
    iterations: int = 10
    few: int = 1_000

    def __call__(self, view: OwnData, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return the images one step worse, and the flipped labels."""
        x, y = view.poison.float(), view.classes - 1 - view.y
        drawn = torch.randperm(len(x), generator=generator)[: self.few].to(x.device)
        clean = view.x[drawn].float(), view.y[drawn]
        moved = x + self.step * ascent(view.model, (x, y), clean, self.damping, self.iterations).sign()
        return moved.round().clamp(0, 255).to(view.x.dtype), y


def ascent(
    model: nn.Module,
    poison: tuple[Tensor, Tensor],
    clean: tuple[Tensor, Tensor],
    damping: float,
    iterations: int,
    hessian_on: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Return the gradient of the loss on `clean` by the images of `poison`, through the trained weights.

    Both are floats with labels. H is the Hessian of the mean loss on `hessian_on`, which is `clean` unless
    told otherwise, plus `damping`.
    """
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def slope(on: tuple[Tensor, Tensor]) -> Tensor:
        return _flat_gradient(F.cross_entropy(model(on[0]), on[1]), weights, graph=True)

    trained = slope(hessian_on or clean)

    def curved(vector: Tensor) -> Tensor:
        return _flat_gradient(trained @ vector, weights, keep=True) + damping * vector

    outer = slope(clean).detach()
    solved = conjugate_gradients(curved, outer, iterations)
    x = poison[0].clone().requires_grad_()
    [gradient] = torch.autograd.grad(-(slope((x, poison[1])) @ solved), [x])
    return gradient


def conjugate_gradients(apply: Callable[[Tensor], Tensor], b: Tensor, iterations: int) -> Tensor:
    """Return x with `apply`(x) ≈ b, for a symmetric positive `apply`, after some iterations from 0."""
    x, left = torch.zeros_like(b), b.clone()
    way, squares = left.clone(), left @ left
    for _ in range(iterations):
        applied = apply(way)
        if squares <= 1e-20 or (curvature := way @ applied) <= 0:
            break
        x = x + squares / curvature * way
        left = left - squares / curvature * applied
        way, squares = left + (left @ left) / squares * way, left @ left
    return x


def _flat_gradient(
    value: Tensor, weights: list[nn.Parameter], *, graph: bool = False, keep: bool = False
) -> Tensor:
    parts = torch.autograd.grad(value, weights, create_graph=graph, retain_graph=graph or keep)
    return torch.cat([part.flatten() for part in parts])

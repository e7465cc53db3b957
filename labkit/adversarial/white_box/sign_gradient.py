"""Adversarial images by iterated sign-gradient steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.models.parts import evaluating


@dataclass(frozen=True)
class Attacked:
    """Attacked images and how it went, one entry an image.

    Attributes:
        x: images of the shape and range of the originals.
        steps: steps taken, int64 (B,).
        prediction: class the model sees at the end, int64 (B,).
        confidence: softmax probability of that class, (B,), 0..1.
        success: whether a wrong class reached the confidence asked for, bool (B,).
    """

    x: Tensor
    steps: Tensor
    prediction: Tensor
    confidence: Tensor
    success: Tensor


def confident_mistakes(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    step: float = 1.0,
    confidence: float = 0.99,
    max_steps: int = 200,
    high: float = 255.0,
) -> Attacked:
    """Change `x` until `model` gives a wrong class at least `confidence`: x <- clip(x + step sign(grad J)).

    J is the cross-entropy of the true class `y` as long as the model sees it (the basic iterative method,
    Kurakin et al. 2017), and minus that of the class it sees from then on: ascent on the true class stalls
    once its probability is near zero. `x` is (B, C, H, W) with values 0..`high`. Each image stops by
    itself, at the latest after `max_steps`. The model is used in eval mode and left as it was.
    """
    x = x.detach().clone()
    steps = torch.zeros_like(y)
    with evaluating(model):
        for _ in range(max_steps + 1):
            seen, probability = _prediction(model, x)
            success = (seen != y) & (probability >= confidence)
            active = ~success & (steps < max_steps)
            if not active.any():
                break
            x[active] = (x[active] + step * _direction(model, x[active], y[active])).clamp(0, high)
            steps += active
    return Attacked(x, steps, seen, probability, success)


def _direction(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the sign of the gradient of J at `x`, the shape of `x`."""
    x = x.detach().requires_grad_()
    logits = model(x)
    seen = logits.argmax(1)
    away = torch.where(seen == y, 1.0, -1.0)
    objective = away * F.cross_entropy(logits, seen, reduction="none")
    return torch.autograd.grad(objective.sum(), x)[0].sign()


@torch.no_grad()
def _prediction(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    probability, seen = model(x).softmax(1).max(1)
    return seen, probability

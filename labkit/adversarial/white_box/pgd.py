"""Projected gradient descent (Madry et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.models.parts import evaluating


def pgd(
    model: nn.Module, x: Tensor, y: Tensor, *, eps: float, step: float, steps: int, high: float = 255.0
) -> Tensor:
    """Return images within `eps` of `x` (L-infinity), pixels 0..`high`, that raise the cross-entropy of `y`.

    From a random start in the ball, `steps` times x <- clip(x + step sign(grad)) (Madry et al. 2018, section
    2.1). `x` is (B, C, H, W), pixels 0..`high`, and `eps` and `step` are in the same unit. The model is used
    in eval mode, so that the attack leaves its BatchNorm statistics alone, and put back.
    """
    low, up = (x - eps).clamp(min=0), (x + eps).clamp(max=high)
    attacked = torch.clamp(x + torch.empty_like(x).uniform_(-eps, eps), low, up)
    with evaluating(model):
        for _ in range(steps):
            attacked.requires_grad_()
            with torch.enable_grad():
                loss = F.cross_entropy(model(attacked), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, attacked)
            attacked = torch.clamp(attacked.detach() + step * gradient.sign(), low, up)
    return attacked.detach()

"""The fast gradient sign method: one step, as far as allowed (Goodfellow et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.models.parts import evaluating


def fgsm(model: nn.Module, x: Tensor, y: Tensor, *, eps: float, high: float = 255.0) -> Tensor:
    """Return clip(x + eps sign(grad J)) to 0..`high`, J the cross-entropy of the true class `y`.

    `x` is (B, C, H, W), pixels 0..`high`, and `eps` is in the same unit. The model is used in eval mode and
    put back.
    """
    x = x.detach().clone().requires_grad_()
    with evaluating(model), torch.enable_grad():
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y, reduction="sum"), x)
    return (x.detach() + eps * gradient.sign()).clamp(0, high)

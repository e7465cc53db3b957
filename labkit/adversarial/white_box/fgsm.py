"""The fast gradient sign method: one step, as far as allowed (Goodfellow et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def fgsm(model: nn.Module, x: Tensor, y: Tensor, *, eps: float, high: float = 255.0) -> Tensor:
    """Return clip(x + eps sign(grad J)) to 0..`high`, J the cross-entropy of the true class `y`.

    `x` is (B, C, H, W), pixels 0..`high`, and `eps` is in the same unit. The model is used in eval mode and
    put back.
    """
    was_training = model.training
    model.eval()
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y, reduction="sum"), x)
    model.train(was_training)
    return (x.detach() + eps * gradient.sign()).clamp(0, high)

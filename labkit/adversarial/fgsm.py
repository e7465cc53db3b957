"""The fast gradient sign method: one step, as far as allowed (Goodfellow et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.images import Images


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


def fgsm_accuracy(model: nn.Module, images: Images, *, eps: float, size: int = 500) -> float:
    """Return the share of `images` still seen correctly, in eval mode, after FGSM of `eps` of 255, 0..1."""
    right = 0
    was_training = model.training
    model.eval()
    for start in range(0, len(images), size):
        x, y = images.x[start : start + size].float(), images.y[start : start + size]
        x = fgsm(model, x, y, eps=eps)
        with torch.no_grad():
            right += int((model(x).argmax(1) == y).sum())
    model.train(was_training)
    return right / len(images)

"""Projected gradient descent, and training on what it finds (Madry et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.batches import Batch
from labkit.data.images import Images
from labkit.training.fit import Loss, cross_entropy


def pgd(
    model: nn.Module, x: Tensor, y: Tensor, *, eps: float, step: float, steps: int, high: float = 255.0
) -> Tensor:
    """Return images within `eps` of `x` (L-infinity), pixels 0..`high`, that raise the cross-entropy of `y`.

    From a random start in the ball, `steps` times x <- clip(x + step sign(grad)) (Madry et al. 2018, section
    2.1). `x` is (B, C, H, W), pixels 0..`high`, and `eps` and `step` are in the same unit. The model is used
    in eval mode, so that the attack leaves its BatchNorm statistics alone, and put back.
    """
    was_training = model.training
    model.eval()
    low, up = (x - eps).clamp(min=0), (x + eps).clamp(max=high)
    attacked = torch.clamp(x + torch.empty_like(x).uniform_(-eps, eps), low, up)
    for _ in range(steps):
        attacked.requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(attacked), y, reduction="sum"), attacked)
        attacked = torch.clamp(attacked.detach() + step * gradient.sign(), low, up)
    model.train(was_training)
    return attacked.detach()


def adversarial_loss(*, eps: float, step: float, steps: int) -> Loss:
    """Return the loss of adversarial training: cross-entropy on PGD images of the batch (eq. 2.1)."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        attacked = pgd(model, batch.x, batch.y, eps=eps, step=step, steps=steps)
        return cross_entropy(model, Batch(attacked, batch.y, batch.index))

    return loss


def robust_accuracy(model: nn.Module, images: Images, *, eps: float, step: float, steps: int) -> float:
    """Return the share of `images` still seen correctly, in eval mode, after PGD, 0..1."""
    right = 0
    was_training = model.training
    model.eval()
    for start in range(0, len(images), 500):
        x, y = images.x[start : start + 500].float(), images.y[start : start + 500]
        x = pgd(model, x, y, eps=eps, step=step, steps=steps)
        with torch.no_grad():
            right += int((model(x).argmax(1) == y).sum())
    model.train(was_training)
    return right / len(images)

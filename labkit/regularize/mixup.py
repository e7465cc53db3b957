"""Mixup: training on blends of two images with the same blend of their labels (Zhang et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.batches import Batch
from labkit.training.fit import Loss


@dataclass(frozen=True)
class Mixed:
    """A batch of blends: `share` of each image and of its label `y`, the rest of that of its `partner`.

    Attributes:
        x: blended images, (B, C, H, W).
        y: labels of the first images, int64 (B,).
        partner: labels of the second images, int64 (B,).
        share: the part of the first, 0..1, one number for the batch.
    """

    x: Tensor
    y: Tensor
    partner: Tensor
    share: float

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Return the mean cross-entropy against the blended labels, in nats, a scalar."""
        first, second = F.cross_entropy(logits, self.y), F.cross_entropy(logits, self.partner)
        return self.share * first + (1 - self.share) * second


def mix(x: Tensor, y: Tensor, alpha: float) -> Mixed:
    """Return the batch blended with a random order of itself; its share is drawn from Beta(alpha, alpha).

    With `alpha` 0 the batch stays as it is. Random numbers are drawn on the CPU from torch's generator.
    """
    if alpha <= 0:
        return Mixed(x, y, y, 1.0)
    concentration = torch.tensor(alpha, dtype=torch.float64)
    share = torch.distributions.Beta(concentration, concentration).sample().item()
    order = torch.randperm(len(y)).to(y.device)
    return Mixed(share * x + (1 - share) * x[order], y, y[order], share)


def mixup_loss(alpha: float) -> Loss:
    """Return the loss of mixup: the cross-entropy of blends; `alpha` 0 is plain cross-entropy."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        mixed = mix(batch.x, batch.y, alpha)
        return mixed.cross_entropy(model(mixed.x))

    return loss

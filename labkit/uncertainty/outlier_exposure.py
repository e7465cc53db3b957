"""Outlier Exposure (Hendrycks et al. 2019): training with images that are of no class.

Images and outliers go through the network in one batch, as in the authors' code: BatchNorm, given each kind
by itself, would normalise their difference away. In such a batch the label of an outlier is `OUTLIER`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.batches import Batch, Batches
from labkit.data.images import Images
from labkit.training.fit import Loss

OUTLIER = -1


class Joint:
    """Batches of images with outliers behind them, `Batches` themselves; an epoch is one of the images.

    `index` is into the one set or the other.
    """

    def __init__(self, images: Batches, outliers: Batches) -> None:
        self.images, self.outliers = images, outliers

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.images)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, counted from 0 over all epochs."""
        known, other = self.images.batch(step), self.outliers.batch(step)
        return Batch(
            torch.cat([known.x, other.x]),
            torch.cat([known.y, torch.full_like(other.y, OUTLIER)]),
            torch.cat([known.index, other.index]),
        )


def in_turn(images: Images, n: int) -> Images:
    """Return the first `n` of `images` taken from its classes in turn: of k classes, n // k each or one more.

    As far as there are so many: a class that has no more is passed over. In each turn classes come as their
    first images do.
    """
    labels = images.y.tolist()
    place = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    taken = [0] * len(place)
    turns = []
    for label in labels:
        turns.append((taken[place[label]], place[label]))
        taken[place[label]] += 1
    order = sorted(range(len(labels)), key=turns.__getitem__)[:n]
    return images.take(torch.tensor(order, device=images.y.device), f"{len(order)} in turn")


def to_uniform(logits: Tensor) -> Tensor:
    """Return the cross-entropy from the uniform distribution to that of `logits`, in nats, (N,)."""
    return logits.logsumexp(1) - logits.mean(1)


def exposure(weight: float = 0.5) -> Loss:
    """Return the loss: mean cross-entropy of the images plus `weight` times mean `to_uniform` of outliers."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        known, labels, outliers = _parted(model, batch)
        return F.cross_entropy(known, labels) + weight * to_uniform(outliers).mean()

    return loss


def energy_margins(weight: float = 0.1, inside: float = -23.0, outside: float = -5.0) -> Loss:
    """Return the loss of energy fine-tuning (Liu et al. 2020), with their weight and margins for CIFAR-10.

    The energy -log sum exp(f) is pressed below `inside` for the images and above `outside` for the outliers.
    """

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        known, labels, outliers = _parted(model, batch)
        low = F.relu(-known.logsumexp(1) - inside).square().mean()
        high = F.relu(outside + outliers.logsumexp(1)).square().mean()
        return F.cross_entropy(known, labels) + weight * (low + high)

    return loss


def _parted(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits and labels of the images, and logits of the outliers, from one forward pass."""
    logits, outlier = model(batch.x), batch.y == OUTLIER
    return logits[~outlier], batch.y[~outlier], logits[outlier]

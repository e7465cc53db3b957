"""What an attack is, what it leaves of a network's accuracy, and training on what it finds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from labkit.data.batches import Batch
from labkit.data.images import Images
from labkit.models.parts import evaluating
from labkit.training.fit import Loss, cross_entropy

# Takes a model, pixels 0..255 as float32 (B, C, H, W) and the true classes (B,), returns attacked pixels.
# What else an attack needs is fixed beforehand, by `functools.partial`.
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def attacked_accuracy(model: nn.Module, images: Images, attack: Attack, size: int = 500) -> float:
    """Return the share of `images` that `model` still sees correctly after `attack`, 0..1.

    The model is used in eval mode, on batches of `size`, and put back.
    """
    right = 0
    with evaluating(model):
        for start in range(0, len(images), size):
            x, y = images.x[start : start + size].float(), images.y[start : start + size]
            x = attack(model, x, y)
            with torch.no_grad():
                right += int((model(x).argmax(1) == y).sum())
    return right / len(images)


def adversarial_loss(attack: Attack) -> Loss:
    """Return the loss of adversarial training: cross-entropy after `attack` (Madry et al. 2018, eq. 2.1)."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        attacked = attack(model, batch.x, batch.y)
        return cross_entropy(model, Batch(attacked, batch.y, batch.index))

    return loss

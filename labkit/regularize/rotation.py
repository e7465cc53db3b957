"""A second task without labels: tell how far an image was rotated (Hendrycks et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.batches import Batch
from labkit.data.images import Images
from labkit.data.rotations import every_angle, one_angle
from labkit.models.parts import evaluating
from labkit.models.two_heads import TwoHeads
from labkit.regularize.mixup import mix
from labkit.training.fit import Loss


def rotation_loss(weight: float, *, alpha: float = 0.0, all_angles: bool = True) -> Loss:
    """Return cross-entropy of the classes plus `weight` times that of the rotations.

    The model is a `TwoHeads`. The class loss sees upright images only, blended by mixup where `alpha` is
    above 0; the rotation loss sees rotated images, never blended: all four of each image as in the authors'
    code (five images pass for one of the batch), or without `all_angles` one of the four (two images for
    one), whose loss has the same mean.
    """

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(model, TwoHeads)
        mixed = mix(batch.x, batch.y, alpha)
        rotated, turns = (every_angle if all_angles else one_angle)(batch.x)
        logits, turn_logits = model.both(mixed.x, rotated)
        return mixed.cross_entropy(logits) + weight * F.cross_entropy(turn_logits, turns)

    return loss


@torch.no_grad()
def rotation_accuracy(model: TwoHeads, images: Images, size: int = 500) -> float:
    """Return the share of the four rotations of all `images` that the auxiliary head tells, in 0..1.

    The model takes pixels 0..255; it is used in eval mode and put back.
    """
    right = 0
    with evaluating(model):
        for start in range(0, len(images), size):
            rotated, turns = every_angle(images.x[start : start + size].float())
            right += int((model.auxiliary(model.body(rotated)).argmax(1) == turns).sum())
    return right / (4 * len(images))

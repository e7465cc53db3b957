"""What a trained network says about a set of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from labkit.data.augment import Transform, apply
from labkit.data.images import Images
from labkit.models.parts import evaluating


@torch.no_grad()
def logits(model: nn.Module, images: Images, transforms: Sequence[Transform], size: int = 500) -> Tensor:
    """Return the float32 logits of `model` in eval mode, (N, classes), on batches of `size`.

    The transforms are those of the test set: no random ones. The model's mode is put back.
    """
    parts = []
    with evaluating(model):
        for start in range(0, len(images), size):
            x = apply(transforms, images.x[start : start + size], Generator())
            parts.append(model(x.contiguous(memory_format=torch.channels_last)))
    return torch.cat(parts)


def accuracy(model: nn.Module, images: Images, transforms: Sequence[Transform]) -> float:
    """Return the share of `images` whose largest logit is that of their label, in 0..1."""
    return (logits(model, images, transforms).argmax(1) == images.y).double().mean().item()

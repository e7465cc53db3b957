"""Augmented views that are the same for teacher and student, so that a slow teacher speaks once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.data.augment import apply, flip, pad_crop, raw
from labkit.data.images import Images
from labkit.models.parts import evaluating
from labkit.randomness import stream
from labkit.training.precision import choose


def view(x: Tensor, number: int) -> Tensor:
    """Return images `x`, uint8 (N, C, H, W), in their `number`-th view: mirrored, padded by 4 and cropped.

    A view is the same whenever it is asked for, and for each image another.
    """
    return apply([flip, pad_crop(4)], x, stream(0, 12_000 + number))


@torch.no_grad()
def view_logits(model: nn.Module, images: Images, count: int, size: int = 500) -> Tensor:
    """Return the float32 logits of `model`, in eval mode, for `count` views of each image.

    They are (N, count, classes).
    """
    number_format, found = choose(images.x.device), []
    with evaluating(model), number_format.autocast():
        for number in range(count):
            x = view(images.x, number)
            parts = [model(number_format.layout(apply([raw], part, stream(0, 0)))) for part in x.split(size)]
            found.append(torch.cat(parts).float())
    return torch.stack(found, 1)

"""Transforms of whole batches: each takes a batch of images and a generator and returns a batch.

A pipeline is a plain sequence of them, applied in order; `batches.Loader` hands each the same generator.
Random numbers are drawn on the CPU whatever the device, so that a seed means the same images everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

Transform = Callable[[Tensor, Generator], Tensor]


def raw(x: Tensor, generator: Generator) -> Tensor:
    """Return uint8 images as floats with the same values, 0..255."""
    return x.float()


def normalize(mean: Sequence[float], std: Sequence[float]) -> Transform:
    """Return a transform to (x - mean) / std per channel; x is 0..255 and so are `mean` and `std`."""
    centre, scale = _per_channel(mean), _per_channel(std)

    def transform(x: Tensor, generator: Generator) -> Tensor:
        return (x.float() - centre.to(x.device)) / scale.to(x.device)

    return transform


def channel_statistics(x: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of `x`, uint8 (N, C, H, W), in 0..255."""
    pixels = x.transpose(0, 1).flatten(1).double()
    return pixels.mean(1).tolist(), pixels.std(1, correction=0).tolist()


def flip(x: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    mirrored = torch.rand(len(x), generator=generator).lt(0.5).to(x.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)


def pad_crop(padding: int) -> Transform:
    """Return a transform that pads every side with `padding` zeros and crops the old size anywhere."""

    def transform(x: Tensor, generator: Generator) -> Tensor:
        n, _, height, width = x.shape
        # every possible crop is a view of the padded batch; one gather picks a view for each image
        crops = F.pad(x, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
        top, left = torch.randint(2 * padding + 1, (2, n), generator=generator).to(x.device)
        return crops[torch.arange(n, device=x.device), :, top, left]

    return transform


def apply(transforms: Sequence[Transform], x: Tensor, generator: Generator) -> Tensor:
    """Return `x` after all `transforms`, in order."""
    for transform in transforms:
        x = transform(x, generator)
    return x


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)

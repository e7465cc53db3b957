"""Cutout: a square of each training image is hidden (DeVries and Taylor 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from labkit.data.augment import Transform


def hidden(n: int, height: int, width: int, length: int, holes: int, generator: Generator) -> Tensor:
    """Return the mask, bool (n, 1, height, width), of the pixels that `holes` squares hide in `n` images.

    Each square has sides of `length` pixels and its centre on any pixel, all equally likely; what lies
    outside of the image is clipped. As in the authors' code it reaches from centre - length // 2 up to, and
    without, centre + length // 2.
    """
    half = length // 2
    top = torch.randint(height, (n, holes, 1), generator=generator) - half
    left = torch.randint(width, (n, holes, 1), generator=generator) - half
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + 2 * half)
    in_columns = (columns >= left) & (columns < left + 2 * half)
    return (in_rows.unsqueeze(3) & in_columns.unsqueeze(2)).any(1).unsqueeze(1)


def cutout(length: int, fill: Sequence[float], holes: int = 1) -> Transform:
    """Return a transform that hides `holes` squares of each image, in all channels, under the colour `fill`.

    `fill` has one value a channel in the unit of the pixels: the mean of the set, which is zero after
    normalisation. Comes last among the transforms, so that nothing moves or mirrors the squares.
    """
    colour = torch.tensor(fill, dtype=torch.float32).view(1, -1, 1, 1)

    def transform(x: Tensor, generator: Generator) -> Tensor:
        n, _, height, width = x.shape
        mask = hidden(n, height, width, length, holes, generator).to(x.device)
        return torch.where(mask, colour.to(x.device), x.float())

    return transform

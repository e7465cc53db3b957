"""How far apart two pictures are."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Norm = Literal["L2", "Linf"]


def length(change: Tensor, norm: Norm = "L2") -> Tensor:
    """Return the length of each change of a batch, (B,): the root of the sum of squares, or the largest."""
    flat = change.flatten(1)
    return flat.norm(dim=1) if norm == "L2" else flat.abs().amax(1)


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Return one value an image, (B,), in a shape that multiplies the batch `like`, (B, C, H, W)."""
    return values.view(-1, *[1] * (like.ndim - 1))

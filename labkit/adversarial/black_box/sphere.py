"""Directions on the sphere around an original."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from labkit.adversarial.black_box.distance import length, per_image


def white(shape: Sequence[int], draw: Generator, count: int) -> Tensor:
    """Return `count` random directions of that shape, of length 1, all equally likely."""
    return unit(torch.randn(count, *shape, generator=draw, device=draw.device))


def unit(direction: Tensor) -> Tensor:
    """Return each direction of a batch with length 1; one without length stays so."""
    return direction / per_image(length(direction).clamp(min=torch.finfo(direction.dtype).tiny), direction)


def across(direction: Tensor, towards: Tensor) -> Tensor:
    """Return the part of each direction at right angles to `towards`, which has length 1."""
    along = (direction * towards).flatten(1).sum(1)
    return direction - per_image(along, direction) * towards

"""Projected ascent in a ball around weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def joint_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of all `tensors` together, a scalar."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in tensors]))
    return norm


def uphill(
    offsets: Sequence[Tensor], gradients: Sequence[Tensor], rho: float, steps: int, norm: float
) -> list[Tensor]:
    """Return `offsets` after one of `steps` steps of projected ascent in the ball of radius `rho`.

    The ball is that of the norm 2, taken over all tensors jointly, or `math.inf`. A step is 2.5 rho / steps
    long, at most rho (Madry et al. 2018, section 5.1): a single one, from zero, reaches the surface.
    """
    length = rho * min(1.0, 2.5 / steps)
    if norm == math.inf:
        return [(e + length * g.sign()).clamp(-rho, rho) for e, g in zip(offsets, gradients, strict=True)]
    factor = length / (joint_norm(gradients) + 1e-12)
    moved = [e + factor * g for e, g in zip(offsets, gradients, strict=True)]
    back = (rho / (joint_norm(moved) + 1e-12)).clamp(max=1.0)
    return [back * e for e in moved]

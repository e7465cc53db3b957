"""Batches of images turned by quarters."""

from __future__ import annotations

import torch
from torch import Tensor


def turned(x: Tensor, turns: Tensor) -> Tensor:
    """Return square images (B, C, H, H), each turned counter-clockwise by its number of quarter `turns`."""
    copies = torch.stack([torch.rot90(x, k, (2, 3)) for k in range(4)])
    return copies[turns % 4, torch.arange(len(x), device=x.device)]


def every_angle(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return all four rotations of `x`, (4B, C, H, H), upright ones first, and their turns, int64 (4B,)."""
    rotated = torch.cat([torch.rot90(x, k, (2, 3)) for k in range(4)])
    return rotated, torch.arange(4, device=x.device).repeat_interleave(len(x))


def one_angle(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return each image of `x` in one rotation, drawn at random, and its turns: a quarter of the work."""
    turns = torch.randint(4, (len(x),)).to(x.device)
    return turned(x, turns), turns

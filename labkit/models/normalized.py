"""A network that takes pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalized(nn.Module):
    """`model` behind (x - mean) / std per channel, so that inputs are pixel values 0..255, (B, C, H, W).

    Attacks need this: a step and a clip in pixel space leave a picture that can be saved and shown.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `model`, (B, classes)."""
        y: Tensor = self.model((x - self.mean) / self.std)
        return y

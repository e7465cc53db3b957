"""The MNIST network of Outlier Exposure (Hendrycks, Mazeika and Dietterich 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SigmoidGELU(nn.Module):
    """x sigmoid(1.702 x): the approximation of GELU by a sigmoid (Hendrycks and Gimpel 2016, section 2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, of the shape of `x`."""
        return x * torch.sigmoid(1.702 * x)


class OutlierExposureNet(nn.Sequential):
    """Two 5x5 convolutions, each with max pooling before its activation, and two linear layers.

    Takes (B, 1, 28, 28), returns logits (B, classes); 21,840 parameters.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(1, 10, 5),
            nn.MaxPool2d(2),
            SigmoidGELU(),
            nn.Conv2d(10, 20, 5),
            nn.MaxPool2d(2),
            SigmoidGELU(),
            nn.Flatten(),
            nn.Linear(20 * 4 * 4, 50),
            SigmoidGELU(),
            nn.Linear(50, classes),
        )

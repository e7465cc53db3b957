"""LeNet-5 (LeCun et al. 1998) as it is used today: ReLU, max pooling, no BatchNorm, all maps connected."""

from __future__ import annotations

from torch import nn


class LeNet5(nn.Sequential):
    """Two 5x5 convolutions and three linear layers: 62,006 parameters for colour images.

    Takes (B, channels, 32, 32), returns logits (B, classes).
    """

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(channels, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )

"""The convolutional network of the first experiments on federated averaging."""

from __future__ import annotations

from torch import nn


class FedAvgNet(nn.Sequential):
    """Two 5x5 convolutions with max pooling and two linear layers (McMahan et al. 2017, section 3).

    Takes (B, channels, side, side), returns logits (B, classes). On MNIST it has 1,663,370 parameters. The
    paper has `width` 32 and `hidden` 512.
    """

    def __init__(
        self, channels: int = 1, side: int = 28, width: int = 32, hidden: int = 512, classes: int = 10
    ) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * (side // 4) ** 2, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

"""The small networks that verifiers of neural networks are compared on: ReLU, no BatchNorm."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class CnnA(nn.Sequential):
    """Two 4x4 convolutions of stride 2, two linear layers: "CNN-A" of Dathathri et al. 2020, OVAL's "wide".

    Takes (B, channels, size, size), returns logits (B, classes). Wong and Kolter 2018 have it for MNIST
    (166,406 parameters); for CIFAR-10 it has 214,918.
    """

    def __init__(self, channels: int = 3, size: int = 32, classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(channels, 16, 4, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, 2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (size // 4) ** 2, 100),
            nn.ReLU(),
            nn.Linear(100, classes),
        )


class OvalDeep(nn.Sequential):
    """OVAL's "deep": four convolutions of 8 channels and two linear layers, 54,902 parameters.

    Takes (B, 3, 32, 32), returns logits (B, classes).
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 4, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 4, 2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 8 * 8, 100),
            nn.ReLU(),
            nn.Linear(100, classes),
        )


class PlainBlock(nn.Module):
    """Two 3x3 convolutions and a skip, without BatchNorm: identity, or 1x1 where the stride is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (B, outputs, H / stride, W / stride)."""
        y = self.conv2(F.relu(self.conv1(x)))
        return F.relu(y + self.shortcut(x))


class ResNet4b(nn.Sequential):
    """ResNet-4B of VNN-COMP 2021: a convolution, four residual blocks, two linear layers; 123,734 parameters.

    Takes (B, 3, 32, 32), returns logits (B, classes).
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3, 2, padding=1),
            nn.ReLU(),
            PlainBlock(16, 32, 2),
            PlainBlock(32, 32, 1),
            PlainBlock(32, 32, 2),
            PlainBlock(32, 32, 1),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 100),
            nn.ReLU(),
            nn.Linear(100, classes),
        )

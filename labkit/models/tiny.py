"""ResNet-8 of MLPerf Tiny (Banbury et al. 2021), as its TensorFlow reference computes it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: ceil(H / stride) outputs.

    Where the padding is odd in total, right and bottom get the pixel more; PyTorch's `padding` cannot say so.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, ceil(H / stride), ceil(W / stride))."""
        down = _around(x.shape[2], self.kernel_size[0], self.stride[0])
        across = _around(x.shape[3], self.kernel_size[1], self.stride[1])
        return super().forward(F.pad(x, (*across, *down)))


def _around(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many zeros stand before and after a side of `size` pixels."""
    outputs = -(-size // stride)
    missing = max((outputs - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # as in Keras


class SameBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a skip: identity, or 1x1 without where the stride is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = SameConv2d(inputs, outputs, 3, stride)
        self.bn1 = _norm(outputs)
        self.conv2 = SameConv2d(outputs, outputs, 3)
        self.bn2 = _norm(outputs)
        self.shortcut = nn.Identity() if stride == 1 else SameConv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet8(nn.Sequential):
    """One residual block each of 16, 32 and 64 channels, every convolution with a bias: 78,186 parameters.

    Keras counts 78,666, the running statistics of BatchNorm among them. Takes (B, 3, H, W), returns logits
    (B, classes).
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            SameConv2d(3, 16, 3),
            _norm(16),
            nn.ReLU(),
            SameBlock(16, 16, 1),
            SameBlock(16, 32, 2),
            SameBlock(32, 64, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, classes),
        )

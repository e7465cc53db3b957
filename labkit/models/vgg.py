"""Plain networks of the VGG kind for CIFAR (Simonyan and Zisserman 2015), with one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ConvLayer(nn.Module):
    """A 3x3 convolution with BatchNorm and ReLU, and 2x2 max pooling behind it where a stage ends."""

    def __init__(self, inputs: int, outputs: int, *, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, (B, outputs, H, W), or half of H and W with pooling."""
        y = F.relu(self.bn(self.conv(x)))
        return F.max_pool2d(y, 2) if self.pool else y


class VGG(nn.Sequential):
    """Stages of `stages` layers with `width`, 2, 4, 8 and 8 `width` channels; VGG-16 as it stands.

    Takes (B, 3, H, W), returns logits (B, classes). Each stage halves the picture.
    """

    def __init__(self, width: int = 64, stages: Sequence[int] = (2, 2, 3, 3, 3), classes: int = 10) -> None:
        layers: list[nn.Module] = []
        inputs = 3
        for stage, count in enumerate(stages):
            outputs = width * min(2**stage, 8)
            for layer in range(count):
                layers.append(ConvLayer(inputs, outputs, pool=layer == count - 1))
                inputs = outputs
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

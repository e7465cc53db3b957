"""Residual networks for CIFAR (He et al. 2016, section 4.2), with two kinds of shortcut between stages.

`ResNet` has a 1x1 convolution there (option B of the paper; 272,474 parameters at 20 layers). `PaddedResNet`
is the paper's own CIFAR network: it subsamples and pads with zero channels, which costs no parameter (option
A; 269,722). Public CIFAR weights are mostly of the second.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a skip: identity, or 1x1 where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Sequential):
    """Three stages of `blocks` basic blocks with 16, 32 and 64 channels: 6 * blocks + 2 layers.

    Takes (B, 3, H, W), returns logits (B, classes). With `stem_stride` 2 the first convolution halves the
    picture: the same weights at a quarter of the multiply-adds. `width` is the channels of the first stage.
    """

    def __init__(self, blocks: int, classes: int = 10, *, stem_stride: int = 1, width: int = 16) -> None:
        stem = nn.Conv2d(3, width, 3, stem_stride, padding=1, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(width), nn.ReLU()]
        inputs = width
        for outputs, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
            for block in range(blocks):
                layers.append(BasicBlock(inputs, outputs, stride if block == 0 else 1))
                inputs = outputs
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def resnet20(classes: int = 10) -> ResNet:
    """Return the 20-layer network: about 0.27 million parameters, 41 million multiply-adds at 32x32."""
    return ResNet(3, classes)


class PaddedShortcut(nn.Module):
    """Option A: every second pixel both ways, with zero channels, half of them before and half after."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2 C, H / 2, W / 2) for `x` of shape (B, C, H, W), C even."""
        zeros = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, zeros, zeros))


class PaddedResNet(ResNet):
    """The same network with option A where the stages meet: 269,722 parameters with `blocks` 3."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__(blocks, classes)
        for module in self.modules():
            if isinstance(module, BasicBlock) and not isinstance(module.shortcut, nn.Identity):
                module.shortcut = PaddedShortcut()


def cifar_resnet(depth: int, classes: int = 10) -> PaddedResNet:
    """Return the network of the paper with `depth` layers: 20, 32, 44, 56, 110 or another 6n + 2.

    Raises LabkitError for other depths.
    """
    if depth < 8 or depth % 6 != 2:
        raise LabkitError(f"a CIFAR ResNet cannot have {depth} layers; allowed: 6n + 2, such as 20, 56, 110")
    return PaddedResNet((depth - 2) // 6, classes)


def resnet8(channels: int = 3, classes: int = 10) -> ResNet:
    """Return the smallest network, of eight layers, for (B, channels, H, W); its stem halves H and W."""
    model, stem = ResNet(1, classes), nn.Conv2d(channels, 16, 3, 2, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, nonlinearity="relu")
    model[0] = stem
    return model

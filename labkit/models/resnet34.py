"""ResNet-34 with the stem of CIFAR: 3x3, stride 1, no pooling (after He et al. 2016, Table 1)."""

from __future__ import annotations

from torch import nn

from labkit.models.resnet import BasicBlock


class ResNet34(nn.Sequential):
    """Four stages of 3, 4, 6 and 3 basic blocks with `width`, 2, 4 and 8 `width` channels.

    Takes (B, 3, H, W), returns logits (B, classes). Stages two to four begin with a 1x1 shortcut.
    """

    def __init__(self, classes: int = 10, width: int = 64) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        inputs = width
        for stage, blocks in enumerate((3, 4, 6, 3)):
            outputs = width * 2**stage
            for block in range(blocks):
                layers.append(BasicBlock(inputs, outputs, 2 if stage and block == 0 else 1))
                inputs = outputs
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

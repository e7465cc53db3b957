"""The convolutional networks of CIS 680, assignment 2, and the deep variants the assignment asks for."""

from __future__ import annotations

import math

from torch import Tensor, nn

from labkit.models.parts import convolutions


class AssignmentNet(nn.Sequential):
    """Table 1 of the assignment: three 5x5 convolutions with average pooling, then two linear layers.

    Takes (B, 3, 32, 32), returns logits (B, classes). The convolutions pad by 2: without padding nothing
    would be left for the third pooling.
    """

    def __init__(self, classes: int = 10) -> None:
        blocks: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 32), (32, 64)):
            blocks += [nn.Conv2d(inputs, outputs, 5, padding=2), nn.BatchNorm2d(outputs), nn.ReLU()]
            blocks += [nn.AvgPool2d(2)]
        head = [
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, classes),
        ]
        super().__init__(*blocks, *head)


class Residual(nn.Module):
    """x + scale * branch(x)."""

    def __init__(self, branch: nn.Module, scale: float) -> None:
        super().__init__()
        self.branch, self.scale = branch, scale

    def forward(self, x: Tensor) -> Tensor:
        """Return x + scale * branch(x), of the shape of x."""
        y: Tensor = x + self.scale * self.branch(x)
        return y


class ConvNet(nn.Sequential):
    """Five 3x3 convolutions with max pooling and one linear layer, with room for more after the first.

    Takes (B, 3, 32, 32), returns logits (B, classes). The stages have `width`, 2 `width` and 4 `width`
    channels. `extra` 5x5 convolutions (padding 2, stride 1) stand between the first convolution (with its
    ReLU and pooling) and the second: each plain, or each on the branch of an identity skip
    (He et al. 2016, eq. 1) whose output is scaled by `scale`.
    """

    def __init__(
        self,
        width: int = 32,
        extra: int = 0,
        *,
        batch_norm: bool = True,
        residual: bool = False,
        scale: float = 1.0,
        classes: int = 10,
    ) -> None:
        def conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
            norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
            layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not batch_norm)
            return nn.Sequential(layer, *norm, nn.ReLU())

        inserted = [conv(width, width, 5) for _ in range(extra)]
        super().__init__(
            conv(3, width, 3),
            nn.MaxPool2d(2),
            *([Residual(block, scale) for block in inserted] if residual else inserted),
            conv(width, 2 * width, 3),
            conv(2 * width, 2 * width, 3),
            nn.MaxPool2d(2),
            conv(2 * width, 4 * width, 3),
            conv(4 * width, 4 * width, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes),
        )


def zero_biases(model: nn.Module) -> nn.Module:
    """Set the biases of all convolutions to zero; returns `model`."""
    for conv in convolutions(model):
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return model


def he_init(model: nn.Module, variance: float = 2.0) -> nn.Module:
    """Draw all convolution weights anew, with variance `variance` / fan_in, biases zero; returns `model`.

    With 2 a layer of ReLUs keeps the mean square of its signal (He et al. 2015, eq. 10).
    """
    for conv in convolutions(model):
        fan_in = conv.weight[0].numel()
        nn.init.normal_(conv.weight, std=math.sqrt(variance / fan_in))
    return zero_biases(model)

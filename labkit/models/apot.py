"""Weights and activations on additive powers of two (Li, Dong and Wang 2020)."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError
from labkit.models.resnet import BasicBlock, ResNet

# For each number of bits the powers of two, and zero, of which a level is a sum: one of each set.
_TERMS: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((0, 1),),
    2: ((0, 1 / 2, 1 / 4, 1 / 8),),
    3: ((0, 1 / 2, 1 / 4, 1 / 16), (0, 1 / 8)),
    4: ((0, 1 / 2, 1 / 8, 1 / 32), (0, 1 / 4, 1 / 16, 1 / 64)),
}


def levels(bits: int) -> Tensor:
    """Return the 2^bits levels of `bits` bits without a sign, ascending from 0 to 1 (eq. 6 of the paper).

    Raises LabkitError for more than four bits.
    """
    if bits not in _TERMS:
        raise LabkitError(f"no additive powers of two on {bits} bits; allowed: {', '.join(map(str, _TERMS))}")
    sums = torch.tensor(sorted(sum(terms) for terms in product(*_TERMS[bits])))
    return sums / sums[-1]


def nearest(x: Tensor, allowed: Tensor) -> Tensor:
    """Return for each value of `x` the nearest of `allowed`, ascending; of two as near, the smaller.

    The gradient passes as if nothing had been rounded (the straight-through estimator).
    """
    middles = (allowed[1:] + allowed[:-1]) / 2
    rounded = allowed[torch.bucketize(x.detach().contiguous(), middles)]
    return rounded + (x - x.detach())


class ApotConv2d(nn.Conv2d):
    """A convolution without bias whose weights and inputs are rounded to additive powers of two.

    The weights, less their mean and divided by their standard deviation, are cut at `weight_alpha`; their
    magnitudes take the levels of bits - 1 bits, the sign the other. The inputs, none of them negative, are
    cut at `act_alpha` and take the levels of `bits` bits. Both thresholds are parameters. A gradient passes
    the rounding straight, and stops where a value is cut.
    """

    weight_levels: Tensor
    act_levels: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, bits: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, bias=False)
        self.weight_alpha = nn.Parameter(torch.tensor(3.0))
        self.act_alpha = nn.Parameter(torch.tensor(8.0))
        self.register_buffer("weight_levels", levels(bits - 1), persistent=False)
        self.register_buffer("act_levels", levels(bits), persistent=False)

    def rounded_weight(self) -> Tensor:
        """Return the weights that the convolution uses, of the shape of `weight`."""
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        cut = (weight / self.weight_alpha).clamp(-1, 1)
        rounded: Tensor = nearest(cut.abs(), self.weight_levels) * cut.sign() * self.weight_alpha
        return rounded

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of rounded inputs with rounded weights."""
        x = nearest((x / self.act_alpha).clamp(max=1), self.act_levels) * self.act_alpha
        return F.conv2d(x, self.rounded_weight(), None, self.stride, self.padding)


def eight_bits(weight: Tensor) -> Tensor:
    """Return `weight` rounded to multiples of a 127th of its largest value; the gradient passes straight."""
    largest = weight.detach().max()
    rounded: Tensor = (weight.detach() / largest * 127).round() / 127 * largest
    return rounded + (weight - weight.detach())


class EightBitConv2d(nn.Conv2d):
    """A convolution with weights on eight bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of `x` with the rounded weights."""
        return F.conv2d(x, eight_bits(self.weight), self.bias, self.stride, self.padding)


class EightBitLinear(nn.Linear):
    """A linear layer with weights on eight bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits with the rounded weights."""
        return F.linear(x, eight_bits(self.weight), self.bias)


class ApotResNet(ResNet):
    """`ResNet` with its convolutions on `bits` bits, 2 to 4; the first and the linear layer have eight.

    Takes (B, 3, H, W), returns logits (B, classes).
    """

    def __init__(self, blocks: int, bits: int, classes: int = 10) -> None:
        super().__init__(blocks, classes)
        self[0] = EightBitConv2d(3, 16, 3, padding=1, bias=False)
        self[-1] = EightBitLinear(64, classes)
        for block in self:
            if isinstance(block, BasicBlock):
                block.conv1, block.conv2 = _rounded(block.conv1, bits), _rounded(block.conv2, bits)
                if isinstance(block.shortcut, nn.Sequential):
                    block.shortcut[0] = _rounded(block.shortcut[0], bits)


def _rounded(conv: nn.Module, bits: int) -> ApotConv2d:
    """Return a convolution of the same shape on `bits` bits, its weights drawn anew."""
    assert isinstance(conv, nn.Conv2d)
    kernel, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
    return ApotConv2d(conv.in_channels, conv.out_channels, kernel, stride, int(padding), bits)

"""Weights on few bits: uniform symmetric quantisation after training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.models.parts import layer_weights


def quantize(weight: Tensor, bits: int, *, per_channel: bool = False) -> Tensor:
    """Return `weight` rounded to multiples k D of a step D, with k from -(2^(bits-1) - 1) to 2^(bits-1) - 1.

    The largest magnitude is the last multiple, so no value moves by more than D / 2: the largest of the
    tensor, or `per_channel` that of each entry along the first axis, an output channel, which then has a step
    of its own. Raises LabkitError for fewer than two bits, which leave no value but zero.
    """
    if bits < 2:
        raise LabkitError(f"weights cannot be quantised to {bits} bits; allowed: 2 or more")
    axes = tuple(range(1 if per_channel else 0, weight.ndim))
    step = weight.abs().amax(axes, keepdim=True) / (2 ** (bits - 1) - 1)
    step = torch.where(step > 0, step, 1.0)  # zeros stay zeros
    rounded: Tensor = step * (weight / step).round()
    return rounded


def quantized(model: nn.Module, bits: int, *, per_channel: bool = False) -> nn.Module:
    """Return a copy of `model` whose convolution and linear weights are rounded by `quantize`.

    First and last layer included; biases and BatchNorm stay as they are. The values remain floats.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for weight in layer_weights(model):
            weight.copy_(quantize(weight, bits, per_channel=per_channel))
    return model

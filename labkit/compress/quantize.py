"""Weights on few bits: uniform symmetric quantisation after training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.models.parts import layer_weights


def quantize(weight: Tensor, bits: int) -> Tensor:
    """Return `weight` rounded to multiples k D of a step D, with k from -(2^(bits-1) - 1) to 2^(bits-1) - 1.

    The largest magnitude of the tensor is the last multiple, so no value moves by more than D / 2. Raises
    LabkitError for fewer than two bits, which leave no value but zero.
    """
    if bits < 2:
        raise LabkitError(f"weights cannot be quantised to {bits} bits; allowed: 2 or more")
    step = weight.abs().max() / (2 ** (bits - 1) - 1)
    if step == 0:
        return weight.clone()
    rounded: Tensor = step * (weight / step).round()
    return rounded


def quantized(model: nn.Module, bits: int) -> nn.Module:
    """Return a copy of `model` whose convolution and linear weights are quantised, tensor by tensor.

    First and last layer included; biases and BatchNorm stay as they are. The values remain floats.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for weight in layer_weights(model):
            weight.copy_(quantize(weight, bits))
    return model

"""Products of quantised weights and activations by bits alone: AND, and a count of ones.

<w, a> = sum_ij v_i u_j (b_i . c_j), where b_i is the i-th plane of the weights' codes, of -1 and +1, and c_j
the j-th of the activations', of 0 and 1. With the minus ones of b_i stored as zeros,
b_i . c_j = 2 |b_i AND c_j| - |c_j|.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from labkit.compress.lq.layers import ActivationQuantizer, LQConv2d
from labkit.errors import LabkitError

Bytes = NDArray[np.uint8]
_ONES = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


def planes(codes: Tensor, bits: int) -> Bytes:
    """Return the bit planes of codes (M, N), (bits, M, N / 8) uint8; the last byte is filled with zeros."""
    each = [np.packbits((codes >> k & 1).bool().cpu().numpy(), axis=-1) for k in range(bits)]
    return np.stack(each)


def plane_product(weights: Bytes, basis: Tensor, activations: Bytes, levels: Tensor) -> Tensor:
    """Return all products <w, a>, (M, F) float64, of planes (K, F, bytes) and (L, M, bytes).

    The first are those of weights, the second those of activations. `basis` is (F, K), that of each filter;
    `levels` (L,) is the one basis of the activations.
    """
    ones = _ONES[activations].sum(-1, dtype=np.int64)  # (L, M)
    product = np.zeros((activations.shape[1], weights.shape[1]))
    v, u = basis.double().cpu().numpy(), levels.double().cpu().numpy()
    for i, plane in enumerate(weights):
        for j, other in enumerate(activations):
            for f, row in enumerate(plane):  # filter by filter: all at once takes too much memory
                both = _ONES[other & row].sum(-1, dtype=np.int64)
                product[:, f] += v[f, i] * u[j] * (2 * both - ones[j])
    return torch.from_numpy(product)


def plane_conv2d(layer: LQConv2d, x: Tensor) -> Tensor:
    """Return what `layer` returns for `x` (B, C, H, W) in eval mode, computed from bit planes, in float32.

    Raises LabkitError where the inputs of the layer are not quantised.
    """
    if not isinstance(layer.inputs, ActivationQuantizer):
        raise LabkitError("a product of bits needs quantised inputs as well as weights")
    quantizer, inputs = layer.weights, layer.inputs
    codes = inputs.codes(x)
    # Outside the picture stands code 0, and its level is zero.
    padding = int(layer.padding[0])
    patches = F.unfold(codes.float(), layer.kernel_size, padding=padding, stride=layer.stride)
    rows = patches.transpose(1, 2).flatten(0, 1).long()  # (B H' W', C_in k k)
    product = plane_product(
        planes(quantizer.codes(layer.weight), quantizer.basis.shape[1]),
        quantizer.basis,
        planes(rows, inputs.basis.shape[1]),
        inputs.basis[0],
    )
    height = (x.shape[2] + 2 * padding - layer.kernel_size[0]) // layer.stride[0] + 1
    outputs = product.view(len(x), height, -1, layer.out_channels).permute(0, 3, 1, 2)
    return outputs.float().to(x.device)

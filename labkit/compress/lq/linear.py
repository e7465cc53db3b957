"""Linear quantisers: the special case of a basis s * (1, 2, 4, ...), whose levels are equally far apart."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.compress.lq.quantizer import RIDGE, normal_equations


def doubling(bits: int) -> Tensor:
    """Return 1, 2, 4, ... for so many bits, (bits,)."""
    return 2.0 ** torch.arange(bits)


def to_the_largest(x: Tensor, codes: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    """Return for each group the linear basis whose last level is its largest magnitude, (G, K)."""
    steps = doubling(basis.shape[1]).to(x)
    return x.abs().amax(1, keepdim=True) / steps.sum() * steps


def best_scale(x: Tensor, codes: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    """Return the multiple of `basis` with the least squared error for these codes, (G, K).

    A v-step with one number for v: a linear basis stays linear.
    """
    squares, products = normal_equations(x, codes, book)
    v = basis.double()
    ridge = RIDGE * v.square().sum(1)
    above = (v * products).sum(1) + ridge
    below = torch.einsum("gkl,gk,gl->g", squares, v, v) + ridge
    return (above / below.clamp_min(1e-30)).unsqueeze(1).mul(v).to(basis.dtype)

"""Linear quantizers: the special case of a basis s * (1, 2, 4, ...), whose levels are equally far apart."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.compress.lq.quantizer import RIDGE, normal_equations, squared_error


def doubling(bits: int) -> Tensor:
    """Return 1, 2, 4, ... for so many bits, (bits,)."""
    return 2.0 ** torch.arange(bits)


def to_the_largest(x: Tensor, codes: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    """Return for each group the linear basis whose last level is its largest magnitude, (G, K)."""
    steps = doubling(basis.shape[1]).to(x)
    return x.abs().amax(1, keepdim=True) / steps.sum() * steps


def best_step(x: Tensor, codes: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    """Return the linear basis with the least squared error for these codes: a v-step with one number for v.

    `basis` must be linear, too.
    """
    squares, products = normal_equations(x, codes, book)
    steps = doubling(basis.shape[1]).to(squares)
    above = products @ steps + RIDGE * (basis.double() @ steps)
    below = torch.einsum("gkl,k,l->g", squares, steps, steps) + RIDGE * (steps @ steps)
    return (above / below).unsqueeze(1).mul(steps).to(basis.dtype)


def best_linear(x: Tensor, book: Tensor, tried: int = 200) -> Tensor:
    """Return the linear basis of least squared error, (G, K), among `tried` steps up to the largest value."""
    bits = book.shape[1]
    steps = doubling(bits).to(x)
    largest = x.abs().amax(1, keepdim=True) / (1 if bits == 1 else steps.sum())
    found = [largest * k / tried * steps for k in range(1, tried + 1)]
    best = torch.stack([squared_error(x, basis, book) for basis in found]).argmin(0)
    return torch.stack(found)[best, torch.arange(len(x), device=x.device)]

"""A basis with exact zeros: fewer bits for the filters that can do with fewer."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.compress.lq.quantizer import encode, least_squares


def soft(v: Tensor, threshold: Tensor) -> Tensor:
    """Return v moved towards zero by `threshold`, and not beyond: the proximal step of threshold * |v|_1."""
    return v.sign() * (v.abs() - threshold).clamp_min(0)


def sparse_step(
    x: Tensor, codes: Tensor, basis: Tensor, book: Tensor, alive: Tensor, strength: float
) -> tuple[Tensor, Tensor]:
    """Return basis and living entries, (G, K), after a v-step under the penalty strength * mean|x| * |v|_1.

    The soft threshold only chooses the entries; what is left is fitted again without it, or its pull would
    shrink the levels at every step. A zero stays, and the largest entry of a group always lives.
    """
    free = least_squares(x, codes, basis, book, alive)
    size = (free.abs() * alive).to(free)
    kept = soft(size, strength * x.abs().mean(1, keepdim=True)) > 0
    largest = torch.zeros_like(alive).scatter(1, size.argmax(1, keepdim=True), True)
    alive = alive & (kept | largest)
    return least_squares(x, codes, basis * alive, book, alive), alive


def sparse(
    x: Tensor, basis: Tensor, book: Tensor, alive: Tensor, strength: float, rounds: int
) -> tuple[Tensor, Tensor]:
    """Return basis and living entries after `rounds` of B-step and `sparse_step`."""
    for _ in range(rounds):
        basis, alive = sparse_step(x, encode(x, basis, book), basis, book, alive, strength)
    return basis, alive


def shrunk_step(x: Tensor, codes: Tensor, basis: Tensor, book: Tensor, strength: float) -> Tensor:
    """Return the basis of the same step as it stands in textbooks, without fitting again."""
    return soft(least_squares(x, codes, basis, book), strength * x.abs().mean(1, keepdim=True))

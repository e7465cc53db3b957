"""What a learned quantiser is measured against: the best of all codes, and levels that obey no basis."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from labkit.errors import LabkitError

MOST_SEARCHED = 2**17


def best_of_all(x: Tensor, book: Tensor) -> float:
    """Return the least mean squared error of any basis for the values `x`, (N,), by trying all codes.

    For each assignment of codes to values, the best basis. Raises LabkitError for more than 2^17 of those.
    """
    count = len(book) ** len(x)
    if count > MOST_SEARCHED:
        raise LabkitError(f"{count} assignments are too many to try: take fewer values or bits")
    matrices = book[torch.tensor(list(product(range(len(book)), repeat=len(x))))].double()
    bases = torch.linalg.pinv(matrices) @ x.double()
    left = x.double() - (matrices @ bases.unsqueeze(2)).squeeze(2)
    best: float = left.square().mean(1).min().item()
    return best


def lloyd_max(x: Tensor, count: int, rounds: int = 300) -> Tensor:
    """Return `count` levels for the values `x`, (N,): each the mean of those nearest to it (Lloyd 1982)."""
    free = x.quantile((torch.arange(count, device=x.device) + 0.5) / count)
    for _ in range(rounds):
        place = torch.bucketize(x, (free[1:] + free[:-1]) / 2)
        counts = torch.bincount(place, minlength=count)
        means = torch.bincount(place, x, count) / counts
        free = torch.where(counts > 0, means, free).to(x.dtype)
    return free

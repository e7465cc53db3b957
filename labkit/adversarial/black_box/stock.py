"""Random draws in stock: a generator for each original is slow where it is asked for one thing at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

AHEAD = 50  # draws made at a time


class Stock:
    """What `draw(generator, count)` returns, (count, ...), for each original from a generator of its own.

    Originals that are asked for go on together, one draw each a call; those that were left out once must not
    come back.
    """

    def __init__(self, draw: Callable[[Generator, int], Tensor], draws: Sequence[Generator]) -> None:
        self.draw, self.draws, self.used = draw, draws, 0

    def __call__(self, ids: Tensor) -> Tensor:
        """Return the next draw of each of `ids`, int64 (B,), which ascend: (B, ...)."""
        at = self.used % AHEAD
        if at == 0:
            self.owners = ids
            self.drawn = torch.stack([self.draw(self.draws[i], AHEAD) for i in ids.tolist()], 1)
        self.used += 1
        return self.drawn[at, torch.searchsorted(self.owners, ids)]

"""Batches for training: a pure function of seed and step, so that a run can be resumed at any step."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from labkit.data.augment import Transform, apply
from labkit.data.images import Images
from labkit.errors import LabkitError


@dataclass(frozen=True)
class Batch:
    """A training batch: inputs `x` (B, C, H, W) float, labels `y` (B,) int64, `index` (B,) into the set."""

    x: Tensor
    y: Tensor
    index: Tensor


class Loader:
    """Endless shuffled batches of `images`, transformed on the device they are on.

    Each epoch is a new permutation; the last images that do not fill a batch wait for another epoch.
    `batch(step)` depends on `seed` and `step` only, not on what was asked before.
    """

    def __init__(self, images: Images, size: int, transforms: Sequence[Transform], seed: int) -> None:
        if not 1 <= size <= len(images):
            raise LabkitError(f"batch size {size} does not fit {images.name} with {len(images)} images")
        self.images, self.size, self.transforms, self.seed = images, size, tuple(transforms), seed
        self._order = functools.lru_cache(maxsize=1)(self._permutation)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.images) // self.size

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, counted from 0 over all epochs."""
        epoch, position = divmod(step, len(self))
        index = self._order(epoch)[position * self.size : (position + 1) * self.size]
        x = apply(self.transforms, self.images.x[index], self._generator(2 * step + 1))
        return Batch(x, self.images.y[index], index)

    def _permutation(self, epoch: int) -> Tensor:
        order = torch.randperm(len(self.images), generator=self._generator(2 * epoch))
        return order.to(self.images.x.device)

    def _generator(self, stream: int) -> Generator:
        # An odd multiplier spreads (seed, stream) over 64 bits: neighbours get unrelated Mersenne states.
        mixed = (self.seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**63
        return Generator().manual_seed(mixed)

"""Batches for training: a pure function of seed and step, so that a run can be resumed at any step."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from labkit.data.augment import Transform, apply
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.randomness import stream


@dataclass(frozen=True)
class Batch:
    """A training batch: inputs `x` (B, C, H, W) float, labels `y` (B,) int64, `index` (B,) into the set."""

    x: Tensor
    y: Tensor
    index: Tensor


class Batches(Protocol):
    """Batches by number, the same whenever they are asked for: what a training takes its data from."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, counted from 0 over all epochs."""
        ...


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
        x = apply(self.transforms, self.images.x[index], stream(self.seed, 2 * step + 1))
        return Batch(x, self.images.y[index], index)

    def _permutation(self, epoch: int) -> Tensor:
        order = torch.randperm(len(self.images), generator=stream(self.seed, 2 * epoch))
        return order.to(self.images.x.device)

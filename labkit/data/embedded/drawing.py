"""What the embedded image sets have in common: dice, turns, order and balance of the labels.

All by integer arithmetic on the raw bits of a generator, and so the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from labkit.data.images import Images, fingerprint
from labkit.errors import LabkitError

Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

SPLITS = ("train", "test")
# Images drawn at a time: few enough for the arrays to stay in cache. The random stream depends on it.
BLOCK = 100
# Rounding hides the last bit, in which the sines of two machines may differ.
COS = np.array([round(math.cos(math.radians(degree)) * 16384) for degree in range(360)], dtype=np.int32)


class Dice:
    """Random integers for n images at a time, from the raw bits of a generator whose stream numpy fixes."""

    def __init__(self, bits: np.random.PCG64, n: int) -> None:
        self.bits, self.n = bits, n

    def roll(self, low: int, high: int) -> Ints:
        """Return one integer an image, low <= value < high, shape (n, 1, 1) to spread over its pixels."""
        raw = (self.bits.random_raw(self.n) >> np.uint64(48)).astype(np.int32)
        return (low + (raw * (high - low) >> 16)).reshape(-1, 1, 1)

    def chance(self, percent: int) -> NDArray[np.bool_]:
        """Return True for about `percent` of the images, shape (n, 1, 1)."""
        return self.roll(0, 100) < percent

    def bytes(self, *shape: int) -> Bytes:
        """Return random bytes of `shape`, whose product is a multiple of eight."""
        raw: NDArray[np.uint64] = self.bits.random_raw(math.prod(shape) // 8)
        return raw.astype("<u8").view(np.uint8).reshape(shape)


def random_bits(name: str, split: str, n: int, seed: int, *stream: int) -> np.random.PCG64:
    """Return the generator of one split of the set `name`, whose `stream` keeps it apart from other sets.

    Raises LabkitError for an unknown split, n below 1 or seed below 0.
    """
    if split not in SPLITS:
        raise LabkitError(f"no split {split!r} in {name}; allowed: {', '.join(SPLITS)}")
    if n < 1 or seed < 0:
        raise LabkitError(f"{name} needs n of 1 or more and a seed of 0 or more, not n={n}, seed={seed}")
    return np.random.PCG64([SPLITS.index(split), seed, *stream])


def balanced(bits: np.random.PCG64, n: int, classes: int) -> Ints:
    """Return labels (n,), balanced up to rounding, in random order."""
    order = np.argsort(bits.random_raw(n), kind="stable")
    return (order % classes).astype(np.int32)


def drawn(bits: np.random.PCG64, y: Ints, draw: Callable[[Dice, Ints], Bytes]) -> Bytes:
    """Return the images (N, C, H, W) that `draw` makes of dice and labels (n, 1, 1), block by block."""
    blocks = [y[start : start + BLOCK] for start in range(0, len(y), BLOCK)]
    return np.concatenate([draw(Dice(bits, len(block)), block.reshape(-1, 1, 1)) for block in blocks])


def labelled(name: str, x: Bytes, y: Ints, classes: tuple[str, ...]) -> Images:
    """Return images `x` (N, C, H, W) with labels `y` (N,) as a data set."""
    labels = y.astype(np.int64)
    return Images(name, torch.from_numpy(x), torch.from_numpy(labels), classes, fingerprint(x, labels))

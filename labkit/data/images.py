"""An image data set as two tensors with a name and a fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labkit.errors import LabkitError


@dataclass(frozen=True)
class Images:
    """Labelled images, all in memory.

    Attributes:
        name: name of the set and split, such as ``cifar10/train``.
        x: uint8 images, shape (N, C, H, W), values 0..255.
        y: int64 labels, shape (N,), values 0..len(classes)-1.
        classes: one name a class.
        fingerprint: sha256 of the content these tensors were taken from, and how, 16 hexadecimal digits.
        differences: how the set differs from the original that its name promises; empty when it does not.
    """

    name: str
    x: Tensor
    y: Tensor
    classes: tuple[str, ...]
    fingerprint: str
    differences: str = ""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.y)

    def to(self, device: torch.device | str) -> Images:
        """Return the same images on `device`."""
        return dataclasses.replace(self, x=self.x.to(device), y=self.y.to(device))

    def first(self, n: int) -> Images:
        """Return the first `n` images (a stated part of a set); raises LabkitError where there are fewer."""
        if n > len(self):
            raise LabkitError(f"{self.name} has {len(self)} images, fewer than the {n} asked for")
        return self if n == len(self) else self.take(torch.arange(n), f"first {n}")

    def take(self, index: Tensor, how: str) -> Images:
        """Return the images at `index` (int64, shape (n,)); `how` says in words which they are."""
        digest = hashlib.sha256(self.fingerprint.encode())
        digest.update(index.cpu().numpy().astype("<i8").tobytes())
        return dataclasses.replace(
            self,
            name=f"{self.name}[{how}]",
            x=self.x[index],
            y=self.y[index],
            fingerprint=digest.hexdigest()[:16],
        )


def fingerprint(*arrays: NDArray[np.generic]) -> str:
    """Return 16 hexadecimal digits of the sha256 over shapes, types and bytes of `arrays`, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{little.shape}{little.dtype.str}".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()[:16]

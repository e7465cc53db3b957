"""What a chapter may ask of any data set, of images or not."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

import torch


@runtime_checkable
class DataSet(Protocol):
    """One split of a data set, all in memory: `Images` is one.

    Attributes:
        name: name of the set and split, such as ``cifar10/train``.
        fingerprint: sixteen hexadecimal digits that are the same for the same content, and for no other.
        differences: how the set differs from the original that its name promises; empty when it does not.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # as above

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def differences(self) -> str: ...  # noqa: D102

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Return the same examples on `device`."""
        ...


@runtime_checkable
class Divisible(DataSet, Protocol):
    """A data set that has first examples: what `n_train` asks for. (A graph has none.)"""

    def first(self, n: int) -> Self:
        """Return the first `n` examples; raises LabkitError where there are fewer."""
        ...

"""How far an attack may go: balls around an image, in the unit of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_TINY = 1e-12  # a gradient of zero has no direction, and moves nothing


class Ball(Protocol):
    """All changes of an image that are no longer than `eps` in some norm; tensors hold one for each image."""

    @property
    def eps(self) -> float:
        """The radius."""
        ...

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the change of length one along which a function of this `gradient` rises fastest."""
        ...

    def project(self, change: Tensor) -> Tensor:
        """Return the nearest change, in the Euclidean sense, that is in the ball."""
        ...

    def uniform(self, like: Tensor) -> Tensor:
        """Return a random change for each image of `like`, uniform in the ball, from the global generator."""
        ...


@dataclass(frozen=True)
class Linf:
    """No pixel changes by more than `eps`."""

    eps: float

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the sign of `gradient`."""
        return gradient.sign()

    def project(self, change: Tensor) -> Tensor:
        """Return `change`, cut off at `eps` in every pixel."""
        return change.clamp(-self.eps, self.eps)

    def uniform(self, like: Tensor) -> Tensor:
        """Return changes with independent pixels."""
        return torch.empty_like(like).uniform_(-self.eps, self.eps)


@dataclass(frozen=True)
class L2:
    """The changes of all pixels together have a Euclidean length of at most `eps`."""

    eps: float

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return `gradient` over its length."""
        return gradient / _length(gradient).clamp_min(_TINY)

    def project(self, change: Tensor) -> Tensor:
        """Return `change`, shortened to `eps` where it is longer."""
        return change * (self.eps / _length(change).clamp_min(_TINY)).clamp_max(1)

    def uniform(self, like: Tensor) -> Tensor:
        """Return changes of all directions; the volume within a radius grows with its power of dimension."""
        share = torch.rand_like(like.flatten(1)[:, 0]) ** (1 / like[0].numel())
        return self.eps * _spread(share, like) * self.steepest(torch.randn_like(like))


def _length(change: Tensor) -> Tensor:
    """Return the Euclidean length of each change, in a shape that broadcasts against them."""
    return _spread(torch.linalg.vector_norm(change.flatten(1), dim=1), change)


def _spread(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))

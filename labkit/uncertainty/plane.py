"""Outlier Exposure where it can be seen: three blobs in the plane, and a ring around them.

Inside are three Gaussian blobs, a class each, two units from the origin. Outside is a ring, four to seven
units from the origin, cut into ten sectors, of which a training sees the first few.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.uncertainty.outlier_exposure import to_uniform

CLASSES, SECTORS = 3, 10


def blobs(n: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return `n` points inside, (n, 2), with their classes, int64 (n,)."""
    y = torch.randint(CLASSES, (n,), generator=generator)
    centre = 2 * _direction(y / CLASSES)
    return centre + 0.5 * torch.randn(n, 2, generator=generator), y


def ring(n: int, sectors: int, generator: Generator) -> Tensor:
    """Return `n` points of the first `sectors` of the ring, (n, 2), spread evenly over angle and radius."""
    turn, radius = torch.rand(2, n, generator=generator)
    points: Tensor = (4 + 3 * radius)[:, None] * _direction(turn * sectors / SECTORS)
    return points


def trained(
    points: tuple[Tensor, Tensor], outliers: Tensor, *, weight: float = 0.5, steps: int = 300
) -> nn.Sequential:
    """Return a perceptron trained on `points` and their classes, and on `outliers` (none: without them).

    2-64-64-3 units, Adam at 1e-2 on all points at once; initial weights are drawn from torch's own stream.
    """
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    optimizer, (x, y) = torch.optim.Adam(model.parameters(), 1e-2), points
    for _ in range(steps):
        optimizer.zero_grad()
        known, other = model(torch.cat([x, outliers])).split([len(x), len(outliers)])
        loss = F.cross_entropy(known, y)
        if len(outliers):
            loss = loss + weight * to_uniform(other).mean()
        loss.backward()
        optimizer.step()
    return model.eval()


def _direction(turn: Tensor) -> Tensor:
    """Return the unit vectors at `turn`, (N,), a share of a full turn each, (N, 2)."""
    return torch.stack([(2 * pi * turn).cos(), (2 * pi * turn).sin()], 1)

"""Perlin noise: patterns of low frequency."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from labkit.adversarial.black_box.sphere import unit

DIRECTIONS = torch.tensor([[0.0, 1], [0, -1], [1, 0], [-1, 0]])


class Perlin:
    """Draws pictures of Perlin noise, an independent pattern a channel, of length 1 (Brunner et al. 2019).

    A lattice of `frequency` cells a side has a random gradient along an axis at each of its points; a pixel
    blends what the four points around it say (Perlin 2002, with his fade 6t^5 - 15t^4 + 10t^3). That is
    linear in the gradients, so a pattern is a row of gradients times one fixed matrix.
    """

    def __init__(self, channels: int, side: int, frequency: int, device: torch.device | str = "cpu") -> None:
        self.shape, self.points = (channels, side, side), (frequency + 1) ** 2
        self.directions, self.basis = DIRECTIONS.to(device), _basis(side, frequency).to(device)

    def __call__(self, draw: Generator, count: int) -> Tensor:
        """Return `count` pictures, (count, channels, side, side)."""
        lattices = (count, self.shape[0], self.points)
        chosen = torch.randint(4, lattices, generator=draw, device=self.basis.device)
        noise = self.directions[chosen].flatten(2) @ self.basis
        return unit(noise.view(-1, *self.shape))


def _basis(side: int, frequency: int) -> Tensor:
    """Return what each lattice point's gradient, down and across, adds to each pixel: (2 points, pixels)."""
    at = torch.arange(side) * frequency / side
    cell = at.long()
    inside = at - cell
    fade = 6 * inside**5 - 15 * inside**4 + 10 * inside**3
    points = frequency + 1
    basis = torch.zeros(points, points, 2, side, side)
    row, column = torch.arange(side)[:, None], torch.arange(side)
    for down in (0, 1):
        for across in (0, 1):
            one = fade if down else 1 - fade
            other = fade if across else 1 - fade
            weight = one[:, None] * other
            corner = (cell + down)[:, None].expand(side, side), (cell + across).expand(side, side)
            basis[*corner, 0, row, column] = weight * (inside - down)[:, None]
            basis[*corner, 1, row, column] = weight * (inside - across)
    return basis.view(2 * points**2, side * side)

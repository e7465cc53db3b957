"""Where an attack begins, and the way from an adversarial picture back to the boundary."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from labkit.adversarial.black_box.distance import Norm, length, per_image
from labkit.adversarial.black_box.oracle import Oracle
from labkit.errors import LabkitError
from labkit.randomness import stream

TRIES = 1000  # pictures of noise, until one is adversarial
BLEND = 1e-3  # how exactly a start is blended with its original


def generators(oracle: Oracle, seed: int) -> list[Generator]:
    """Return a random generator for each original, so that none depends on which others are attacked."""
    device = oracle.originals.device
    numbers = [stream(seed, i).initial_seed() for i in range(len(oracle.originals))]
    return [Generator(device).manual_seed(number) for number in numbers]


def bisections(tolerance: float) -> int:
    """Return how many queries `to_boundary` takes: halvings of 1 down to `tolerance`."""
    return math.ceil(math.log2(1 / tolerance))


def to_boundary(oracle: Oracle, x: Tensor, ids: Tensor, tolerance: float, norm: Norm) -> Tensor:
    """Return adversarial pictures between the originals `ids` and the adversarial `x`, (B, C, H, W).

    Between them is the line from one to the other (L2), or `x` with every pixel's change clipped
    (L-infinity). Bisected to the share `tolerance` of the distance; the adversarial end is returned. All take
    equally many queries, `bisections(tolerance)`.
    """
    originals = oracle.originals[ids]
    change = x - originals
    reach = per_image(length(change, norm), x)

    def at(share: Tensor) -> Tensor:
        part = per_image(share, x)
        if norm == "L2":
            return originals + part * change
        return originals + change.clamp(-part * reach, part * reach)

    low, high = torch.zeros(len(ids), device=x.device), torch.ones(len(ids), device=x.device)
    for _ in range(bisections(tolerance)):
        middle = (low + high) / 2
        found = oracle.ask(at(middle), ids)
        low, high = torch.where(found, low, middle), torch.where(found, middle, high)
    return at(high)


def start(oracle: Oracle, draws: Sequence[Generator], images: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return a first adversarial picture for each original, and which originals have one: (B, C, H, W), (B,).

    Uniform noise, drawn until it is adversarial and then blended with the original as far as that goes (Chen
    et al. 2020); or `images`, 0..1, as they are, for which LabkitError is raised where one is not
    adversarial. Originals that no noise is adversarial for, or whose budget ends before, are left out.
    """
    ids = torch.arange(len(oracle.originals), device=oracle.originals.device)
    if images is not None:
        wrong = int((~oracle.ask(images, ids)).sum())
        if wrong:
            raise LabkitError(f"{wrong} of the {len(ids)} images to start from are not adversarial")
        return images, ids
    noise, without = torch.zeros_like(oracle.originals), ids
    for _ in range(TRIES):
        without = without[oracle.left[without] > bisections(BLEND)]
        if not len(without):
            break
        for i in without.tolist():
            noise[i].uniform_(generator=draws[i])
        without = without[~oracle.ask(noise[without], without)]
    found = ids[oracle.distance.isfinite()]
    return to_boundary(oracle, noise[found], found, BLEND, "L2"), found

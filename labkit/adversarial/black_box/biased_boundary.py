"""The Biased Boundary Attack: a walk along the boundary, guided by three guesses (Brunner et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.adversarial.black_box.boundary import generators, start
from labkit.adversarial.black_box.distance import length, per_image
from labkit.adversarial.black_box.oracle import Oracle
from labkit.adversarial.black_box.perlin import Perlin
from labkit.adversarial.black_box.sphere import across, unit, white
from labkit.adversarial.black_box.surrogate import POINTS, gradients

PULL = 0.3  # share of the surrogate's gradient in a direction
EIGHT_BIT = 255


def biased_boundary_attack(
    oracle: Oracle,
    seed: int,
    *,
    frequency: int | None = 5,
    mask: bool = True,
    surrogate: nn.Module | None = None,
    spherical_step: float = 0.2,
    source_step: float = 0.01,
    proposals: int = 50,
    images: Tensor | None = None,
) -> None:
    """Attack all originals of `oracle` in L2 until their budgets are spent; it keeps what was found.

    Each original has a picture on the adversarial side. A proposal moves that around the original by
    `spherical_step` of the distance and towards it by `source_step`, is rounded to 8 bits and asked about; it
    takes the picture's place if it is adversarial and nearer. Over `proposals` failures at one place the
    steps shrink from 1.3 of their size to 0.3; then they begin anew.

    Three biases shape where a proposal goes, each of which can be left out: Perlin noise of `frequency` cells
    a side in place of white noise, a `mask` of where the picture differs from its original, and, in every
    other proposal, the gradient of a `surrogate`, a network that takes pixels 0..255. Starts as
    `hop_skip_jump` does, and every original has random numbers of its own.
    """
    draws = generators(oracle, seed)
    x, ids = start(oracle, draws, images)
    shape = x.shape[1:]
    perlin = Perlin(shape[0], shape[1], frequency, x.device) if frequency else None
    failures = torch.zeros_like(ids)
    pulls = x.new_zeros(len(x), POINTS, *shape)
    while (going := oracle.left[ids] > 0).any():
        x, ids, failures, pulls = x[going], ids[going], failures[going], pulls[going]
        own = [draws[i] for i in ids.tolist()]
        originals = oracle.originals[ids]
        source = originals - x
        relief = _relief(source) if mask else None
        noise = perlin(own) if perlin else torch.stack([white(shape, draw) for draw in own])
        direction = unit(_weighted(across(noise, unit(source)), relief))
        if surrogate is not None:
            for i in _few((failures == 0).nonzero().flatten(), oracle.batch // POINTS):
                news = [own[k] for k in i.tolist()]
                classes = oracle.classes[ids[i]]
                pulls[i] = gradients(surrogate, x[i], source[i], classes, news, targeted=oracle.targeted)
            one = torch.stack([torch.randint(POINTS, (), generator=draw, device=x.device) for draw in own])
            pull = unit(_weighted(pulls[torch.arange(len(x), device=x.device), one], relief))
            pulled = unit((1 - PULL) * direction + PULL * pull)
            direction = torch.where(per_image(failures % 2 == 0, x), pulled, direction)
        scale = 1.3 - failures / proposals
        candidate = proposed(originals, source, direction, spherical_step * scale, source_step * scale)
        found = oracle.ask((candidate * EIGHT_BIT).round() / EIGHT_BIT, ids)
        better = found & (length(candidate - originals) < length(source))
        x = torch.where(per_image(better, x), candidate, x)
        failures = torch.where(better, 0, (failures + 1) % proposals)


def proposed(
    originals: Tensor, source: Tensor, direction: Tensor, spherical_step: Tensor, source_step: Tensor
) -> Tensor:
    """Return each picture `originals - source` after a step around its original and one towards it, 0..1.

    The first, along `direction` of length 1, is `spherical_step` of the distance long and ends on the same
    sphere; the second is `source_step` of the distance. Steps are (B,).
    """
    far = length(source)
    step = per_image(spherical_step * far, source) * direction
    around = (originals + (step - source) / per_image((1 + spherical_step**2).sqrt(), source)).clamp(0, 1)
    return (originals + per_image((1 - source_step) * far, source) * unit(around - originals)).clamp(0, 1)


def _few(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """Return `rows` in parts of at most `size`: none where there are none."""
    return rows.split(size) if len(rows) else ()


def _relief(source: Tensor) -> Tensor:
    """Return the mask bias: the root of how much each number differs, 1 for the one that differs most."""
    return (source.abs() / per_image(length(source, "Linf"), source)).sqrt()


def _weighted(direction: Tensor, relief: Tensor | None) -> Tensor:
    return direction if relief is None else relief * direction

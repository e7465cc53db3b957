"""The Biased Boundary Attack: a walk along the boundary, guided by three guesses (Brunner et al. 2019)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from labkit.adversarial.black_box.boundary import generators, start
from labkit.adversarial.black_box.distance import length, per_image
from labkit.adversarial.black_box.oracle import Oracle
from labkit.adversarial.black_box.perlin import Perlin
from labkit.adversarial.black_box.sphere import across, unit, white
from labkit.adversarial.black_box.stock import Stock
from labkit.adversarial.black_box.surrogate import POINTS, gradients

PULL = 0.3  # share of the surrogate's gradient in a direction


def biased_boundary_attack(
    oracle: Oracle,
    seed: int,
    *,
    frequency: int | None = 5,
    mask: bool = True,
    surrogate: nn.Module | None = None,
    levels: int | None = None,
    spherical_step: float = 0.2,
    source_step: float = 0.005,
    proposals: int = 50,
    images: Tensor | None = None,
) -> None:
    """Attack all originals of `oracle` in L2 until their budgets are spent; it keeps what was found.

    Each original has a picture on the adversarial side. A proposal moves that around the original by
    `spherical_step` of the distance and towards it by `source_step`; it takes the picture's place if it is
    adversarial and nearer. Over `proposals` failures at one place the steps shrink from 1.3 of their size to
    0.3; then they begin anew. With `levels` every proposal is rounded to so many levels of a pixel, 256 in
    the authors' code.

    Three biases shape where a proposal goes, each of which can be left out: Perlin noise of `frequency` cells
    a side in place of white noise, a `mask` of where the picture differs from its original, and, in every
    other proposal, the gradient of a `surrogate`, a network that takes pixels 0..255. Starts as
    `hop_skip_jump` does, and every original has random numbers of its own.
    """
    draws = generators(oracle, seed)
    x, ids = start(oracle, draws, images)
    shape, device = x.shape[1:], x.device
    noise = Stock(
        Perlin(shape[0], shape[1], frequency, device) if frequency else partial(white, shape), draws
    )
    pick = Stock(lambda draw, n: torch.randint(POINTS, (n,), generator=draw, device=device), draws)
    failures, left = torch.zeros_like(ids), oracle.left[ids]
    pulls = x.new_zeros(len(x), POINTS, *shape)
    ends = {0, *left.tolist()}
    for step in range(max(ends)):
        if step in ends:
            going = left > step
            x, ids, failures, pulls, left = (part[going] for part in (x, ids, failures, pulls, left))
        originals = oracle.originals[ids]
        source = originals - x
        relief = _relief(source) if mask else None
        direction = unit(_weighted(across(noise(ids), unit(source)), relief))
        if surrogate is not None:
            for i in _few((failures == 0).nonzero().flatten(), max(1, oracle.batch // POINTS)):
                owners = ids[i]
                own, classes = [draws[k] for k in owners.tolist()], oracle.classes[owners]
                pulls[i] = gradients(surrogate, x[i], source[i], classes, own, targeted=oracle.targeted)
            pull = unit(_weighted(pulls[torch.arange(len(x), device=device), pick(ids)], relief))
            pulled = unit((1 - PULL) * direction + PULL * pull)
            direction = torch.where(per_image(failures % 2 == 0, x), pulled, direction)
        scale = 1.3 - failures / proposals
        candidate = proposed(originals, source, direction, spherical_step * scale, source_step * scale)
        if levels is not None:
            candidate = (candidate * (levels - 1)).round() / (levels - 1)
        better = oracle.ask(candidate, ids) & (length(candidate - originals) < length(source))
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

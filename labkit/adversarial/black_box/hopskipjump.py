"""HopSkipJump: the boundary's normal from many answers, a step along it, and back (Chen et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.adversarial.black_box.boundary import bisections, generators, start, to_boundary
from labkit.adversarial.black_box.distance import Norm, length, per_image
from labkit.adversarial.black_box.oracle import Oracle

FIRST_PROBE = 0.1  # length of the first probes, in pixels of 0..1
MOST_PROBES = 10_000  # of a round
HALVINGS = 40  # of a step at most: the authors' code can go on for ever
SPARE = 8  # queries kept for halving the last step


def hop_skip_jump(
    oracle: Oracle, seed: int, *, probe: float | None = None, first: int = 100, images: Tensor | None = None
) -> None:
    """Attack all originals of `oracle` at once until their budgets are spent; it keeps what was found.

    Each round bisects to the boundary, asks about `first` sqrt(round) random probes there, and steps along
    the normal that the answers give (L-infinity: along its signs). `probe` is the length of the probes as a
    share of the distance: 1 / d, as in the authors' code, unless another is given (0.01 in ART), where a
    picture has d numbers. Starts from `images`, 0..1, or from noise. Every original has random numbers of its
    own, which follow from `seed` and its place among the originals.
    """
    draws, norm = generators(oracle, seed), oracle.norm
    size = oracle.originals[0].numel()
    probe = 1 / size if probe is None else probe
    tolerance = probe / (math.sqrt(size) if norm == "L2" else size)
    back = bisections(tolerance)
    x, ids = start(oracle, draws, images)
    delta = torch.full((len(ids),), FIRST_PROBE, device=x.device)
    for turn in count(1):
        x, ids, delta = _where(oracle.left[ids] >= back, x, ids, delta)
        x = to_boundary(oracle, x, ids, tolerance, norm)
        probes = (oracle.left[ids] - back - SPARE).clamp(max=min(int(first * math.sqrt(turn)), MOST_PROBES))
        x, ids, delta, probes = _where(probes > 0, x, ids, delta, probes)
        if not len(ids):
            return
        direction = normals(oracle, x, ids, delta, probes.tolist(), draws)
        step = length(x - oracle.originals[ids], norm) / math.sqrt(turn)
        x = stepped(oracle, x, ids, direction.sign() if norm == "Linf" else direction, step, back)
        delta = probe * length(x - oracle.originals[ids], norm)  # before the way back


def estimated_normal(found: Tensor, probes: Tensor) -> Tensor:
    """Return the direction (d,) in which pictures turn adversarial, of length 1.

    The mean of (phi - mean phi) u over the `probes` u, (B, d), where phi is 1 for those that `found`, bool
    (B,), says are adversarial and -1 for the others; without the mean if they all agree.
    """
    phi = found.to(probes.dtype) * 2 - 1
    mean = phi.mean()
    phi -= torch.where(mean.abs() < 1, mean, 0)
    return F.normalize(phi @ probes, dim=0)


def normals(
    oracle: Oracle, x: Tensor, ids: Tensor, delta: Tensor, probes: Sequence[int], draws: Sequence[Generator]
) -> Tensor:
    """Return the normal of the boundary at each of `x`, estimated from so many `probes` of length `delta`."""
    found, together = [], max(1, oracle.batch // max(probes))
    own = [draws[i] for i in ids.tolist()]
    for at in range(0, len(x), together):
        rows = range(at, min(at + together, len(x)))
        clouds = [_cloud(x[i], delta[i], probes[i], own[i], oracle.norm) for i in rows]
        counts = [probes[i] for i in rows]
        asked = torch.cat([ids[i].expand(probes[i]) for i in rows])
        answers = oracle.ask(torch.cat(clouds), asked).split(counts)
        for i, cloud, answer in zip(rows, clouds, answers, strict=True):
            # What was asked about is the clipped picture, so that is what the answer is about.
            found.append(estimated_normal(answer, cloud.sub_(x[i]).flatten(1)))
    return torch.stack(found).view_as(x)


def stepped(oracle: Oracle, x: Tensor, ids: Tensor, direction: Tensor, step: Tensor, spare: int) -> Tensor:
    """Return each of `x` moved by `step` along `direction`, halved until the picture is adversarial.

    One that never is, or would leave less than `spare` of its budget, stays where it is.
    """
    moved, rows = x.clone(), torch.arange(len(x), device=x.device)
    for _ in range(HALVINGS):
        rows = rows[oracle.left[ids[rows]] > spare]
        if not len(rows):
            break
        there = (x[rows] + per_image(step[rows], x) * direction[rows]).clamp_(0, 1)
        found = oracle.ask(there, ids[rows])
        moved[rows[found]] = there[found]
        rows = rows[~found]
        step = step / 2
    return moved


def _cloud(x: Tensor, delta: Tensor, probes: int, draw: Generator, norm: Norm) -> Tensor:
    """Return `probes` pictures at distance `delta` (L2) from `x`, clipped to 0..1."""
    cloud = torch.empty(probes, *x.shape, device=x.device)
    cloud = cloud.normal_(generator=draw) if norm == "L2" else cloud.uniform_(-1, 1, generator=draw)
    cloud *= per_image(delta / length(cloud), cloud)
    return cloud.add_(x).clamp_(0, 1)


def _where(keep: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
    return tuple(part[keep] for part in parts)

"""Checkers of chapter p01, lottery tickets."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from labkit.compress.scores import CRITERIA, ranks
from labkit.exercises.checking import checker, expect, same


@checker
def weights_left(answer: Callable[[int, float, int], int]) -> None:
    """Whole weights go in each round, a fraction of what is left."""
    for total, fraction, rounds, left in ((100, 0.2, 1, 80), (100, 0.2, 3, 51), (74_160, 0.5, 5, 2_317)):
        same(answer(total, fraction, rounds), left, f"weights_left({total}, {fraction}, {rounds})")


@checker
def keep_largest(answer: Callable[[Tensor, float], Tensor]) -> None:
    """An exact number of weights stays, whatever ties there are."""
    weight = torch.tensor([[0.3, -0.9, 0.1], [-0.5, 0.2, 0.7]])
    mask = answer(weight, 0.5)
    same(mask, torch.tensor([[False, True, False], [True, False, True]]), "the mask of half the weights")
    expect(mask.dtype == torch.bool, f"The mask should be of type bool, not {mask.dtype}.")
    ties = answer(torch.ones(2, 5), 0.3)
    same(int(ties.sum()), 7, "the number kept of ten equal weights, of which 30 % go,")


@checker
def scale_free_score(answer: Callable[[Tensor], Tensor]) -> None:
    """Factors of filters leave the scores alone; within a filter the order is that of the magnitudes."""
    generator = Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, generator=generator)
    score = _tensor(answer(weight.clone()), weight)
    factor = torch.tensor([0.01, 1.0, 7.0, 300.0]).view(-1, 1, 1, 1)
    same(_tensor(answer(weight * factor), weight), score, "the score after each filter was rescaled")
    for k in range(len(weight)):
        order = torch.equal(score[k].flatten().argsort(), weight[k].abs().flatten().argsort())
        expect(order, "Within a filter, the weights are not in the order of their magnitudes.")


@checker
def drift(answer: Callable[[float, float, float, int], float]) -> None:
    """Momentum carries a pruned weight on: the steps are a geometric series."""
    for velocity, rate, momentum, steps in ((3.0, 0.1, 0.9, 1), (3.0, 0.1, 0.9, 40), (-0.5, 0.02, 0.5, 3)):
        speed, weight = velocity, 0.0
        for _ in range(steps):
            speed *= momentum
            weight -= rate * speed
        same(
            float(answer(velocity, rate, momentum, steps)),
            weight,
            f"drift({velocity}, {rate}, {momentum}, {steps})",
        )


@checker
def find_ticket(answer: Callable[..., dict[str, Tensor]]) -> None:
    """The network is back where it was, BatchNorm statistics included, with pruned weights at zero."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    start, seen = copy.deepcopy(model.state_dict()), {}

    def train(model: nn.Module) -> None:
        model.train()
        model(torch.randn(8, 2, 5, 5) + 3)  # the statistics move
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        seen["trained"] = model.get_parameter("0.weight").detach().clone()

    def prune(model: nn.Module) -> dict[str, Tensor]:
        weight = model.get_parameter("0.weight").detach()
        expect("trained" in seen, "Your function prunes a network that it has not trained.")
        expect(torch.equal(weight, seen["trained"]), "The weights that you prune are not those just trained.")
        seen["mask"] = weight.abs() > weight.abs().median()
        return {"0.weight": seen["mask"]}

    masks = answer(model, train, prune)
    expect("mask" in seen, "Your function does not call `prune`.")
    expect(isinstance(masks, dict) and "0.weight" in masks, "Your function should return the masks by name.")
    same(masks["0.weight"], seen["mask"], "the mask of the weight 0.weight")
    for name, value in model.state_dict().items():
        wanted = start[name] * seen["mask"] if name == "0.weight" else start[name]
        same(value, wanted, f"{name} after rewinding")


@checker
def reshuffled(answer: Callable[[Tensor, Tensor, Generator], Tensor]) -> None:
    """The surviving weights of a layer change places at random among themselves; the mask stays."""
    weight = torch.arange(1.0, 61).view(6, 10)
    mask = torch.rand(6, 10, generator=Generator().manual_seed(1)) < 0.5

    def moved_by(seed: int) -> Tensor:
        return _tensor(answer(weight.clone(), mask.clone(), Generator().manual_seed(seed)), weight)

    moved, kept = moved_by(0), weight[mask]  # in ascending order
    expect(not bool(moved[~mask].any()), "A pruned place has got a weight.")
    same(moved[mask].sort().values, kept, "the set of surviving weights")
    expect(not torch.equal(moved[mask], kept), "All weights are where they were.")
    same(moved_by(0), moved, "the weights, drawn again by a generator with the same seed,")
    expect(not torch.equal(moved_by(1), moved), "Another seed of the generator changes nothing.")
    places: Any = torch.searchsorted(kept, moved[mask])
    together = (places.diff().abs() == 1).double().mean().item()
    expect(together < 0.5, "Neighbours have stayed neighbours: that is a shift or a flip, no shuffling.")


@checker
def gain_per_halving(answer: Callable[[list[dict[str, Any]]], Sequence[float]]) -> None:
    """One slope a seed, in the order of the seeds, over the logarithm of the compression."""
    slopes, compressions = {0: 0.02, 1: 0.05, 2: -0.01}, (1, 2, 4, 8, 32)
    rows = [
        {
            "seed": seed,
            "arm": arm,
            "level": "dense" if x == 1 else "between",
            "compression": float(x),
            # The dense network is the same in both arms, and would bend the line.
            "test accuracy": 0.5 + (x > 1) * (arm == "ticket") * (0.1 + slopes[seed] * (x.bit_length() - 1)),
        }
        for x, seed, arm in itertools.product(reversed(compressions), (2, 0, 1), ("fresh weights", "ticket"))
    ]
    found = answer(rows)
    shaped = isinstance(found, Sequence | np.ndarray) and len(found) == len(slopes)
    expect(shaped, f"Return a list with a slope for each of the {len(slopes)} seeds.")
    for seed, slope in slopes.items():
        same(float(found[seed]), slope, f"the slope of seed {seed}", tolerance=1e-4)


@checker
def own_criterion(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """A finite score for each weight, the same when asked twice, in an order that no known criterion has."""
    generator = Generator().manual_seed(2)
    before = torch.randn(40, 50, generator=generator)
    after = before + torch.randn(40, 50, generator=generator)
    score = _tensor(answer(before.clone(), after.clone()), before)
    expect(bool(score.isfinite().all()), "Some scores are infinite, or no numbers.")
    same(answer(before.clone(), after.clone()), score, "the score, asked for a second time,")
    expect(len(score.unique()) > score.numel() // 2, "Most weights have equal scores: which of them stay?")
    for name, criterion in CRITERIA.items():
        orders = [ranks(values.flatten()) for values in (score, criterion(before.flatten(), after.flatten()))]
        alike = torch.corrcoef(torch.stack(orders))[0, 1].item()
        expect(alike < 0.999, f"That is {name}: it puts all weights in the same order.")


def _tensor(found: Any, like: Tensor) -> Tensor:
    """Return `found`, an answer that should be a tensor shaped as `like`."""
    expect(isinstance(found, Tensor), f"Your function should return a tensor, not {type(found).__name__}.")
    expect(found.shape == like.shape, f"The shape should be {tuple(like.shape)}, not {tuple(found.shape)}.")
    tensor: Tensor = found
    return tensor

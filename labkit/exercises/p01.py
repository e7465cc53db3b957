"""Checkers of chapter p01, lottery tickets."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

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
def masked_step(answer: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Pruned weights are zero after the step even where the momentum would move them."""
    weight, gradient = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0.5, 1.0, -1.0])
    velocity, mask = torch.tensor([0.2, 3.0, 0.0]), torch.tensor([True, False, True])
    stepped = answer(weight.clone(), gradient.clone(), velocity.clone(), mask, 0.1, 0.9)
    pair = isinstance(stepped, Sequence) and [type(part) for part in stepped] == [Tensor, Tensor]
    expect(pair, "Your function should return two tensors, the new weight and the new velocity.")
    moved, _ = stepped
    expect(moved[1].item() == 0, f"The pruned weight has moved to {moved[1].item():.3g}: what pushed it?")
    same(moved, torch.tensor([0.932, 0.0, -1.9]), "the weight after the step")


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

    def prune(model: nn.Module) -> dict[str, Tensor]:
        weight = model.get_parameter("0.weight").detach()
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
    """The surviving weights of a layer change places among themselves; the mask stays."""
    weight = torch.arange(1.0, 61).view(6, 10)
    mask = torch.rand(6, 10, generator=Generator().manual_seed(1)) < 0.5
    moved = _tensor(answer(weight.clone(), mask, Generator().manual_seed(0)), weight)
    expect(not bool(moved[~mask].any()), "A pruned place has got a weight.")
    kept: Any = weight[mask].sort().values
    same(moved[mask].sort().values, kept, "the set of surviving weights")
    expect(not torch.equal(moved[mask], weight[mask]), "All weights are where they were.")


@checker
def gain_per_halving(answer: Callable[[list[dict[str, Any]]], list[float]]) -> None:
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
    shaped = isinstance(found, Sequence) and len(found) == len(slopes)
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

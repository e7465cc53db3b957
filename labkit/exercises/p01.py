"""Checkers of chapter p01, lottery tickets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from labkit.exercises.checking import checker, expect, own_claim, same

own_ticket_claim = checker(own_claim)


@checker
def weights_left(answer: Callable[[int, float, int], int]) -> None:
    """Whole weights go in each round, a fraction of what is left."""
    for total, fraction, rounds, left in ((100, 0.2, 1, 80), (100, 0.2, 3, 51), (74_160, 0.5, 5, 2_317)):
        same(answer(total, fraction, rounds), left, f"weights_left({total}, {fraction}, {rounds})")


@checker
def rounds_needed(answer: Callable[[float, float], int]) -> None:
    """The first number of rounds after which at most the target fraction is left."""
    for fraction, target, rounds in ((0.5, 0.25, 2), (0.2, 0.107, 11), (0.2, 0.5, 4), (0.9, 0.5, 1)):
        same(answer(fraction, target), rounds, f"rounds_needed({fraction}, {target})")


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
def same_sign_score(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The magnitude after training, and zero where the sign has flipped."""
    before, after = torch.tensor([0.5, -0.2, 0.3, -0.4]), torch.tensor([0.7, -0.1, -0.9, 0.8])
    same(answer(before, after), torch.tensor([0.7, 0.1, 0.0, 0.0]), "the score")


@checker
def masked_step(answer: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Pruned weights are zero after the step even where the momentum would move them."""
    weight, gradient = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0.5, 1.0, -1.0])
    velocity, mask = torch.tensor([0.2, 3.0, 0.0]), torch.tensor([True, False, True])
    stepped = answer(weight.clone(), gradient.clone(), velocity.clone(), mask, 0.1, 0.9)
    expect(stepped is not None, "Your function returns None; return the new weight and the new velocity.")
    moved, _ = stepped
    expect(moved[1].item() == 0, f"The pruned weight has moved to {moved[1].item():.3g}: what pushed it?")
    same(moved, torch.tensor([0.932, 0.0, -1.9]), "the weight after the step")


@checker
def reshuffled(answer: Callable[[Tensor, Tensor, Generator], Tensor]) -> None:
    """The surviving weights of a layer change places among themselves; the mask stays."""
    weight = torch.arange(1.0, 61).view(6, 10)
    mask = torch.rand(6, 10, generator=Generator().manual_seed(1)) < 0.5
    moved = answer(weight.clone(), mask, Generator().manual_seed(0))
    expect(isinstance(moved, Tensor), "Your function should return the new weight, a tensor.")
    expect(moved.shape == weight.shape, f"The shape should stay {tuple(weight.shape)}.")
    expect(not bool(moved[~mask].any()), "A pruned place has got a weight.")
    kept: Any = weight[mask].sort().values
    same(moved[mask].sort().values, kept, "the set of surviving weights")
    expect(not torch.equal(moved[mask], weight[mask]), "All weights are where they were.")

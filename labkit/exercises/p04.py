"""Checkers of chapter p04, noise-aware training and SAM."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from labkit.exercises.checking import checker, expect, own_claim, same

own_flatness_claim = checker(own_claim)


@checker
def matching_scale(answer: Callable[[Sequence[int], Sequence[float], float], float]) -> None:
    """Squared lengths add up over layers; each is the number of weights times their variance."""
    for sizes, spreads, length, scale in (
        ([100], [0.1], 0.5, 0.5),
        ([400, 900], [0.2, 0.1], 1.0, 0.2),
        ([16, 9, 1], [0.5, 1.0, 2.0], 0.3, 0.3 / math.sqrt(17)),
    ):
        same(answer(sizes, spreads, length), scale, f"matching_scale({sizes}, {spreads}, {length})")


@checker
def largest_error(answer: Callable[[float, int], float]) -> None:
    """Half a step, and the steps from zero to the largest magnitude are 2^(bits-1) - 1."""
    for largest, bits, error in ((1.0, 2, 0.5), (3.0, 3, 0.5), (0.7, 4, 0.05), (1.0, 8, 1 / 254)):
        same(answer(largest, bits), error, f"largest_error({largest}, {bits})")


@checker
def sam_gradient(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """The gradient of a quadratic at the worst point of its linearisation."""
    matrix = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    for weights, radius, expected in (
        ([2.0, 0.0], 0.3, [4.6, 0.0]),
        ([0.0, 2.0], 0.3, [0.0, 1.15]),
        ([1.5, 8.0], 1.0, [4.2, 4.4]),
        ([1.5, 8.0], 0.0, [3.0, 4.0]),
    ):
        got = answer(matrix, torch.tensor(weights), radius)
        same(got, torch.tensor(expected), f"the gradient at {weights} with the radius {radius}")


@checker
def worst_change(answer: Callable[[Sequence[Tensor], float], Sequence[Tensor]]) -> None:
    """One norm for all tensors together, and no division by zero where the gradient is zero."""
    changes = answer([torch.tensor([3.0, 0.0]), torch.tensor([[0.0], [-4.0]])], 0.5)
    expect(changes is not None, "Your function returns None; return a tensor for each gradient.")
    same(len(changes), 2, "the number of tensors")
    same(changes[0], torch.tensor([0.3, 0.0]), "the change of the first tensor")
    same(changes[1], torch.tensor([[0.0], [-0.4]]), "the change of the second tensor")
    [still] = answer([torch.zeros(3)], 0.5)
    same(still, torch.zeros(3), "the change where the gradient is zero")


@checker
def quantize_filters(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Each entry along the first axis is rounded with a step of its own."""
    weight = torch.tensor([[-0.9, 0.6, 0.1], [0.05, -0.04, 0.03]])
    expected = torch.tensor([[-0.9, 0.6, 0.0], [0.05, -0.1 / 3, 0.1 / 3]])
    same(answer(weight.clone(), 3), expected, "the weight of two filters on three bits")
    drawn = torch.randn(4, 3, 2, 2, generator=Generator().manual_seed(0))
    drawn[2] = 0.0
    rounded = answer(drawn.clone(), 2)
    same(rounded.shape, drawn.shape, "the shape of a rounded convolution")
    same(rounded[2], torch.zeros(3, 2, 2), "a filter of zeros, rounded,")
    for kept, coarse in zip(drawn, rounded, strict=True):
        same(coarse.abs().max(), kept.abs().max(), "the largest magnitude of a filter, which stays,")


@checker
def adaptive_change(answer: Callable[[Sequence[Tensor], Sequence[Tensor], float], Sequence[Tensor]]) -> None:
    """A large weight may move far, a zero weight not at all; the ball is measured in units of the weights."""
    weights = [torch.tensor([2.0, -1.0]), torch.tensor([0.0, 0.5])]
    gradients = [torch.tensor([1.5, 4.0]), torch.tensor([7.0, 0.0])]
    changes = answer(weights, gradients, 0.5)
    expect(changes is not None, "Your function returns None; return a tensor for each weight.")
    expect(len(changes) == 2, f"It returns {len(changes)} tensors for two weights.")
    same(changes[0], torch.tensor([0.6, 0.4]), "the change of the first tensor")
    same(changes[1], torch.zeros(2), "the change of the second tensor")

"""Checkers of chapter p03, TernGrad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from labkit.exercises.checking import checker, expect, own_claim, same


@checker
def on_the_wire(answer: Callable[[int], tuple[float, float]]) -> None:
    """Factors for numbers of workers by hand."""
    for workers, shared, own in ((2, 64 / 5, 16.0), (4, 64 / 6, 8.0), (8, 64 / 7, 4.0)):
        found = answer(workers)
        for scales, got, expected in (("a shared scale", found[0], shared), ("own scales", found[1], own)):
            same(float(got), expected, f"the factor of {workers} workers with {scales}")


@checker
def ternarise(answer: Callable[[Tensor, float, Tensor], Tensor]) -> None:
    """Three values, the right sign, the right frequency, and no trouble with zeros."""
    gradient = torch.tensor([0.5, -0.5, 1.0, -1.0, 0.0])
    drawn = torch.tensor([0.4, 0.4, 0.9, 0.9, 0.0])
    same(answer(gradient, 1.0, drawn), torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0]), "the low draws' answer")
    drawn = torch.tensor([0.6, 0.6, 0.9, 0.9, 0.9])
    same(answer(gradient, 2.0, drawn), torch.zeros(5), "the answer for a scale of 2 and high draws")
    draw = Generator().manual_seed(0)
    gradient = torch.randn(50, generator=draw)
    scale = float(gradient.abs().max())
    many = torch.stack([answer(gradient, scale, torch.rand(50, generator=draw)) for _ in range(2_000)])
    off = float((many.mean(0) - gradient).abs().max())
    expect(off < 0.25, f"The mean of 2,000 draws is off by {off:.2f}.")
    same(answer(torch.zeros(3), 0.0, torch.rand(3)), torch.zeros(3), "the answer for a gradient of zeros")


@checker
def repaired(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The mean with a shared scale, to the last value, for two cases and by itself."""
    gradients = torch.tensor([[1.0, -0.5, 0.1], [-4.0, 2.0, 0.4]])
    drawn = torch.tensor([[0.2, 0.2, 0.01], [0.5, 0.6, 0.05]])
    same(answer(gradients.clone(), drawn), torch.tensor([0.0, 0.0, 4.0]), "the mean of the two workers")
    draw = Generator().manual_seed(0)
    gradients = torch.randn(4, 30, generator=draw)
    drawn = torch.rand(4, 30, generator=draw)
    scale = gradients.abs().max()
    expected = (scale * gradients.sign() * (drawn < gradients.abs() / scale)).mean(0)
    same(answer(gradients.clone(), drawn), expected, "the mean of the four workers")


@checker
def chances(answer: Callable[[Tensor, float], Tensor]) -> None:
    """The mean that was asked for, no chance above one, and proportions kept."""
    draw = Generator().manual_seed(0)
    for rate, power in ((0.1, 1), (0.3, 6), (0.02, 1)):
        size = torch.randn(400, generator=draw).abs() ** power
        found = answer(size.clone(), rate)
        expect(isinstance(found, Tensor) and found.shape == size.shape, "Return a chance for each weight.")
        told = f"With a rate of {rate}"
        mean = float(found.mean())
        expect(abs(mean - rate) < 0.01 * rate, f"{told} the mean of your chances is {mean:.4f}.")
        expect(float(found.max()) <= 1 + 1e-6, f"{told} a chance is {float(found.max()):.2f}.")
        free = found < 0.999
        quotient = found[free] / size[free]
        even = float(quotient.max() / quotient.min()) < 1.01
        expect(even, f"{told} chances below one are not proportional to the sizes.")


@checker
def lost_by_workers(answer: Callable[[list[dict[str, Any]]], dict[int, float]]) -> None:
    """Means of differences, each within its seed, whatever the order of rows."""
    rows = [
        {"seed": seed, "workers": workers, "gradients": gradients, "test accuracy": accuracy}
        for seed, workers, gradients, accuracy in (
            (0, 1, "float", 0.60),
            (0, 1, "ternary", 0.55),
            (0, 4, "float", 0.61),
            (1, 1, "float", 0.50),
            (1, 1, "ternary", 0.49),
            (0, 4, "ternary", 0.60),
            (1, 4, "ternary", 0.50),
            (1, 4, "float", 0.53),
            (2, 4, "float", 0.90),  # its run with ternary gradients is missing
        )
    ]
    found = answer(list(reversed(rows)))
    expect(isinstance(found, dict), "Return a dict from the number of workers to points lost.")
    same(sorted(found), [1, 4], "the numbers of workers")
    same(float(found[1]), 3.0, "what one worker loses")
    same(float(found[4]), 2.0, "what four workers lose")


own_gradient_claim = checker(own_claim)

"""Checkers of chapter p07, improved regularisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.exercises.checking import checker, expect, own_claim, same

own_regulariser_claim = checker(own_claim)


@checker
def hidden_pixels(answer: Callable[[int, int], float]) -> None:
    """The pixels that a clipped square hides, averaged over its possible centres."""
    for side, length, pixels in ((4, 2, 3.0625), (32, 8, 56.25), (32, 16, 196.0)):
        same(answer(side, length), pixels, f"hidden_pixels({side}, {length})")


@checker
def mixed_target(answer: Callable[[int, int, float, int], Tensor]) -> None:
    """The probabilities that mixup asks for."""
    same(answer(0, 2, 0.3, 4), torch.tensor([0.3, 0.0, 0.7, 0.0]), "mixed_target(0, 2, 0.3, 4)")
    same(answer(1, 1, 0.3, 3), torch.tensor([0.0, 1.0, 0.0]), "mixed_target(1, 1, 0.3, 3)")


@checker
def hide(answer: Callable[[Tensor, int, int, int, Tensor], Tensor]) -> None:
    """A square under the mean colour, clipped at the edges, in all channels."""
    x, fill = torch.arange(75.0).view(3, 5, 5), torch.tensor([0.5, 1.5, 2.5])
    for row, column in ((2, 2), (0, 4)):
        expected = x.clone()
        top, left = max(row - 1, 0), max(column - 1, 0)
        expected[:, top : row + 1, left : column + 1] = fill.view(3, 1, 1)
        what = f"the image with a square of 2 about ({row}, {column})"
        same(answer(x.clone(), row, column, 2, fill), expected, what)
    kept = x.clone()
    answer(kept, 2, 2, 2, fill)
    same(kept, x, "the image that was handed in, afterwards,")


@checker
def quarter_turns(answer: Callable[[Tensor, int], Tensor]) -> None:
    """A rotation made of mirroring and exchanging axes."""
    x = torch.arange(24.0).view(2, 3, 4)
    for turns in range(5):
        same(
            answer(x.clone(), turns), torch.rot90(x, turns, (1, 2)), f"the image after {turns} quarter turns"
        )


@checker
def calibration_gap(answer: Callable[[Tensor, Tensor, int], float]) -> None:
    """The expected calibration error, bins weighted by how many predictions are in them."""
    confidence = torch.tensor([0.95, 0.85, 0.82, 0.81, 0.55, 0.3], dtype=torch.float64)
    right = torch.tensor([True, True, False, False, False, True])
    by_hand = (0.05 + abs(2.48 - 1) + 0.55 + 0.7) / 6
    same(answer(confidence, right, 10), by_hand, "the error in ten bins")
    # Two bins: the errors within a bin cancel before their size is taken.
    same(answer(confidence, right, 2), (abs(3.98 - 2) + 0.7) / 6, "the error in two bins")


@checker
def best_temperature(answer: Callable[[Tensor, Tensor, list[float]], float]) -> None:
    """The divisor of the logits with the smallest negative log-likelihood."""
    generator = Generator().manual_seed(0)
    honest = 1.5 * torch.randn(4_000, 5, generator=generator)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator).squeeze(1)
    temperatures = [0.25, 0.5, 1.0, 2.0, 4.0]
    for boast in (1.0, 2.0, 0.5):
        chosen = answer(boast * honest, labels, temperatures)
        same(chosen, boast, f"the temperature of logits that are {boast:g} times what they should be")


@checker
def one_step(answer: Callable[..., Tensor]) -> None:
    """FGSM: the sign of the gradient, clipped to pixels; nothing of the weights is left changed."""
    weight = torch.tensor([[0.01, -0.02, 0.005], [-0.01, 0.01, 0.0]], requires_grad=True)

    def model(x: Tensor) -> Tensor:
        return F.linear(x, weight)

    x, y = torch.tensor([[10.0, 1.0, 254.0], [100.0, 3.0, 20.0]]), torch.tensor([0, 1])
    attacked = answer(model, x.clone(), y, 4.0)
    expect(isinstance(attacked, Tensor), "Your function should return the attacked images, a tensor.")
    same(attacked.detach(), torch.tensor([[6.0, 5.0, 250.0], [104.0, 0.0, 24.0]]), "the attacked images")
    expect(weight.grad is None, "The weights have got a gradient: ask for that of the images alone.")

"""Checkers of chapter p16, LQ-Nets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Generator, Tensor

from labkit.compress.lq.quantizer import codebook, decode, encode, least_squares, levels
from labkit.exercises.checking import checker, expect, own_claim, same

own_levels_claim = checker(own_claim)


def _gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


@checker
def stored_bits(answer: Callable[[int, int, int, int], float]) -> None:
    """K bits a weight, and K float32 numbers a filter."""
    for inputs, kernel, bits, given, expected in (
        (16, 3, 2, 32, 2 + 64 / 144),
        (64, 3, 1, 32, 1 + 32 / 576),
        (16, 1, 3, 16, 3 + 48 / 16),
    ):
        told = f"stored_bits({inputs}, {kernel}, {bits}, {given})"
        same(float(answer(inputs, kernel, bits, given)), expected, told, 1e-6)


@checker
def one_bit(answer: Callable[[Tensor], tuple[float, float]]) -> None:
    """The mean magnitude, and the mean square less its square."""
    for x in (torch.tensor([1.0, -3.0]), _gaussian(50), torch.tensor([0.5, 0.5, -0.5])):
        found = answer(x.clone())
        expect(isinstance(found, tuple) and len(found) == 2, "Return two numbers: the basis and the error.")
        v, error = (float(value) for value in found)
        same(v, x.abs().mean().item(), f"the basis for {x[:3].tolist()}…", 1e-4)
        left = (x - v * x.sign()).square().mean().item()
        expect(abs(error - left) < 1e-5, f"The error is {error:.4g}; measured, your basis leaves {left:.4g}.")


@checker
def qem_round(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Nearest level for each value, then least squares; any order and sign of the basis."""
    for k, start in enumerate(([0.5, 1.0], [1.0, 0.4], [0.2, 0.5, 1.0], [-0.5, 1.1])):
        x, basis = _gaussian(200, seed=k), torch.tensor([start])
        book = codebook(len(start), signed=True)
        codes = encode(x.unsqueeze(0), basis, book)
        expected = least_squares(x.unsqueeze(0), codes, basis, book)[0]
        same(answer(x.clone(), basis[0].clone()), expected, f"the basis after {start}", 1e-3)


@checker
def straight_through(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Values on the nearest levels, the gradient of min(x, largest level)."""
    steps = torch.tensor([0.0, 0.5, 1.25, 1.75])
    x = torch.tensor([0.1, 0.3, 0.8, 1.0, 1.4, 1.7, 1.8, 5.0], requires_grad=True)
    got = answer(x, steps)
    same(got.detach(), torch.tensor([0.0, 0.5, 0.5, 1.25, 1.25, 1.75, 1.75, 1.75]), "the quantised tensor")
    expect(got.requires_grad, "No gradient comes back from your output.")
    factor = torch.arange(1.0, 9.0)
    (got * factor).sum().backward()
    assert x.grad is not None
    expected = factor * torch.tensor([1.0, 1, 1, 1, 1, 1, 0, 0])
    same(x.grad, expected, "the gradient", 1e-6)


@checker
def follow(answer: Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor]]) -> None:
    """Values by the old basis; the new one is nine tenths of the old, and in eval mode the old."""
    book = codebook(2, signed=True)
    x, basis = _gaussian(3, 80), torch.tensor([[0.5, 1.0], [0.3, 0.9], [1.0, 2.0]])
    codes = encode(x, basis, book)
    fitted = least_squares(x, codes, basis, book)
    for training in (True, False):
        found = answer(x.clone(), basis.clone(), training)
        expect(isinstance(found, tuple) and len(found) == 2, "Return the values and the basis.")
        mode = "in training" if training else "in evaluation"
        same(found[0], decode(codes, basis, book), f"the quantised tensor, {mode},", 1e-5)
        expected = 0.9 * basis + 0.1 * fitted if training else basis
        same(found[1], expected, f"the basis {mode}", 1e-5)


@checker
def bit_product(
    answer: Callable[[Sequence[int], Sequence[float], Sequence[int], Sequence[float], int], float],
) -> None:
    """Two counts for each pair of planes."""
    for n, weight_bits, activation_bits in ((8, 1, 1), (20, 2, 2), (70, 3, 2)):
        generator = Generator().manual_seed(n)
        w = torch.randint(2**weight_bits, (n,), generator=generator)
        a = torch.randint(2**activation_bits, (n,), generator=generator)
        v, u = torch.rand(weight_bits, generator=generator), torch.rand(activation_bits, generator=generator)
        values = levels(v.unsqueeze(0), codebook(weight_bits, signed=True))[0][w]
        others = levels(u.unsqueeze(0), codebook(activation_bits, signed=False))[0][a]
        expected = (values.double() @ others.double()).item()
        planes = [
            [sum(int(code >> k & 1) << i for i, code in enumerate(codes.tolist())) for k in range(bits)]
            for codes, bits in ((w, weight_bits), (a, activation_bits))
        ]
        got = answer(planes[0], v.tolist(), planes[1], u.tolist(), n)
        expect(isinstance(got, int | float), "Your function should return a number.")
        told = f"the product of {n} weights on {weight_bits} bits and activations on {activation_bits}"
        expect(abs(got - expected) < 1e-4, f"{told} is {got:.5g}; it should be {expected:.5g}.")


@checker
def height_over_line(answer: Callable[[list[dict[str, Any]], str], float]) -> None:
    """Each sparse network against the line through the plain ones of its own seed."""
    rows: list[dict[str, Any]] = []
    for seed, shift in enumerate((0.0, 0.1)):
        plain = ((1.0, 0.80 - shift), (2.0, 0.90 - shift), (3.0, 0.91 - shift))
        sparse = ((1.5, 0.86 - shift), (2.5, 0.90 - shift), (2.0, 0.90 - shift / 2))
        rows += [
            {"seed": seed, "basis": basis, "test accuracy": y, "bits a weight": x, "with bases": 2 * x}
            for basis, points in (("plain", plain), ("sparse", sparse))
            for x, y in points
        ]
        rows.append(
            {
                "seed": seed,
                "basis": "full precision",
                "test accuracy": 1.0,
                "bits a weight": None,
                "with bases": None,
            }
        )
    rows.reverse()  # nothing says that a record is in order
    expected = (0.01 - 0.005 + 0.0 + 0.01 - 0.005 + 0.05) / 6
    for axis in ("bits a weight", "with bases"):
        got = float(answer(rows, axis))
        told = f"The mean height along {axis!r} is {got:.5g}; it should be {expected:.5g}."
        expect(abs(got - expected) < 1e-6, told)


@checker
def best_levels(answer: Callable[[Tensor], Tensor]) -> None:
    """The basis of least error for five numbers on two bits, whatever the start."""
    book = codebook(2, signed=True)
    every = torch.tensor(list(product(range(4), repeat=5)))
    for seed in range(4):
        x = _gaussian(5, seed=20 + seed)
        matrices = book[every].double()
        solved = torch.linalg.pinv(matrices) @ x.double()
        best = (x.double() - (matrices @ solved.unsqueeze(2)).squeeze(2)).square().sum(1).min().item()
        basis = answer(x.clone()).float().view(1, 2)
        codes = encode(x.unsqueeze(0), basis, book)
        left = (x - decode(codes, basis, book)[0]).square().sum().item()
        told = f"For {x.tolist()} your basis leaves {left:.5f}; there is one that leaves {best:.5f}."
        expect(left < best + 1e-4, told)

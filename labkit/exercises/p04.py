"""Checkers of chapter p04, noise-aware training and SAM."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

from labkit.exercises.checking import checker, expect, own_claim, same
from labkit.regularize.sam import SAM

wrong_labels = checker(own_claim)


@checker
def rounding_length(answer: Callable[[Sequence[int], Sequence[float], int], float]) -> None:
    """An even error over a step D has the variance D^2 / 12; squared lengths add up over all weights."""
    for sizes, largest, bits, length in (
        ([12], [1.0], 2, 1.0),
        ([48], [7.0], 4, 2.0),
        ([300, 75, 12], [0.3, 0.6, 3.0], 3, math.sqrt(0.25 + 0.25 + 1)),
    ):
        same(answer(sizes, largest, bits), length, f"rounding_length({sizes}, {largest}, {bits})")


@checker
def hop(answer: Callable[[float, float, float], float]) -> None:
    """The answer is tried: from there, a step of SAM leads to its mirror image."""
    for curvature, radius, rate in ((1.0, 0.1, 0.1), (10.0, 0.1, 0.1), (4.0, 0.5, 0.05)):
        what = f"hop({curvature}, {radius}, {rate})"
        w = answer(curvature, radius, rate)
        expect(w is not None, f"{what} is still missing: your function returns None.")
        expect(w > 0, f"{what} is {w!r}; a distance is positive.")
        same(w - rate * curvature * (w + radius), -w, f"what a step of SAM makes of {what} = {w:.6g}")


class _Small(nn.Module):
    """A network with BatchNorm, and its loss on a batch."""

    def __init__(self) -> None:
        super().__init__()
        generator = Generator().manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
        self.x = torch.randn(12, 4, generator=generator, dtype=torch.float64)
        self.y = torch.arange(12) % 3

    def loss(self) -> Tensor:
        """Return the mean cross-entropy, in training mode."""
        return F.cross_entropy(self.layers(self.x), self.y)


@checker
def sam_step(answer: Callable[[nn.Module, Callable[[], Tensor], Optimizer, float], None]) -> None:
    """Weights and statistics after two steps are those of labkit's SAM, and all else was put back."""

    def after(steps: int, rate: float, step: Callable[[_Small, Optimizer], Any]) -> _Small:
        model = _Small()
        optimizer = SGD(model.parameters(), rate, momentum=0.9, weight_decay=0.01)
        for _ in range(steps):
            step(model, optimizer)
        return model

    def right(model: _Small, optimizer: Optimizer) -> None:
        sam = SAM(optimizer, model, 0.5)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = model.loss()
            loss.backward()
            return loss.detach()

        sam.step(closure)

    def theirs(model: _Small, optimizer: Optimizer) -> None:
        answer(model, model.loss, optimizer, 0.5)

    start, resting = _Small(), after(1, 0.0, theirs)
    expect(
        all(torch.equal(a, b) for a, b in zip(start.parameters(), resting.parameters(), strict=True)),
        "With a learning rate of zero the weights after your step are not, bit for bit, those before it.",
    )
    once = copy.deepcopy(start)
    once.loss()
    same(
        resting.layers[1].running_mean,
        once.layers[1].running_mean,
        "the running mean of BatchNorm (it should be that of a single pass, at the old weights)",
    )
    for steps in (1, 2):
        ours, got = after(steps, 0.1, right), after(steps, 0.1, theirs)
        for (name, p), q in zip(ours.named_parameters(), got.parameters(), strict=True):
            same(q.detach(), p.detach(), f"{name} after {steps} of your steps", 1e-7)
    flat = _Small()
    answer(flat, lambda: 0 * flat.loss(), SGD(flat.parameters(), 0.1), 0.5)
    expect(
        all(bool(p.isfinite().all()) for p in flat.parameters()),
        "Where the gradient is zero, your step makes weights that are no numbers.",
    )


@checker
def quotient(answer: Callable[[Sequence[dict[str, Any]], str, str], tuple[float, float, float]]) -> None:
    """Eight seeds, one of them wild: the mean of the logarithms of the quotient, seed by seed, and back."""
    control = [0.4, 0.5, 9.0, 0.6, 0.5, 0.7, 1.1, 0.5]
    factors = [0.5, 0.4, 0.6, 0.5, 0.45, 0.55, 0.5, 0.48]
    rows = [{"seed": seed, "arm": "SGD", "rise": rise} for seed, rise in enumerate(control)]
    rows += [
        {"seed": seed, "arm": "SAM", "rise": rise * factor}
        for seed, (rise, factor) in reversed(list(enumerate(zip(control, factors, strict=True))))
    ]
    rows += [{"seed": seed, "arm": "noise", "rise": 1.0} for seed in range(8)]
    got = answer([dict(row) for row in rows], "SAM", "SGD")
    expect(got is not None, "Your function returns None; return a factor and the two ends of its interval.")
    expect(len(got) == 3, f"It returns {len(got)} values; three are asked for.")
    logs = [math.log(factor) for factor in factors]
    mean = sum(logs) / 8
    half = 2.364624 * math.sqrt(sum((log - mean) ** 2 for log in logs) / 7 / 8)  # Student's t, 7 degrees
    for value, log, what in zip(got, (mean, mean - half, mean + half), ("mean", "low", "high"), strict=True):
        same(float(value), math.exp(log), f"the {what} of the factor", 1e-4)


@checker
def mean_curvature(answer: Callable[[Callable[[Tensor], Tensor], int, int], float]) -> None:
    """The trace over the number of rows, from products alone."""
    generator = Generator().manual_seed(0)
    root = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    for matrix in (torch.diag(torch.arange(1.0, 7).double()), root @ root.T):
        n, mean = len(matrix), (matrix.trace() / len(matrix)).item()
        asked: list[Tensor] = []

        def product(v: Tensor, matrix: Tensor = matrix, asked: list[Tensor] = asked) -> Tensor:
            asked.append(v)
            return matrix @ v.double()

        torch.manual_seed(1)
        got = answer(product, n, 500)
        expect(got is not None, "Your function returns None; return a number.")
        expect(len(asked) <= 500, f"Your function asks for {len(asked)} products; it may have 500.")
        same(float(got), mean, f"the mean eigenvalue of a matrix with {n} rows, within a tenth,", 0.1)


@checker
def adaptive_change(answer: Callable[[Sequence[Tensor], Sequence[Tensor], float], Sequence[Tensor]]) -> None:
    """A large weight may move far, a zero weight not at all; the ball is measured in units of the weights."""
    weights = [torch.tensor([2.0, -1.0]), torch.tensor([0.0, 0.5])]
    gradients = [torch.tensor([1.5, 4.0]), torch.tensor([7.0, 24.0])]  # T g: (3, 4) and (0, 12), of norm 13
    changes = answer(weights, gradients, 0.5)
    expect(changes is not None, "Your function returns None; return a tensor for each weight.")
    expect(len(changes) == 2, f"It returns {len(changes)} tensors for two weights.")
    same(changes[0], torch.tensor([3 / 13, 2 / 13]), "the change of the first tensor")
    same(changes[1], torch.tensor([0.0, 3 / 13]), "the change of the second tensor")


@checker
def best_step(answer: Callable[[Tensor, int], float]) -> None:
    """Its error is, to a hundredth, the least that any step has."""
    normal = torch.randn(500, generator=Generator().manual_seed(0))
    for bits in (2, 3, 4):
        for weight in (normal, torch.cat([0.1 * normal, torch.tensor([1.0])])):
            most = 2 ** (bits - 1) - 1
            usual = weight.abs().max().item() / most

            def error(step: float, weight: Tensor = weight, most: int = most) -> float:
                return (step * (weight / step).round().clamp(-most, most) - weight).square().mean().item()

            got = answer(weight.clone(), bits)
            expect(got is not None, "Your function returns None; return a step.")
            expect(float(got) > 0, f"A step is positive; yours is {got!r}.")
            least = min(error(usual * k / 1000) for k in range(1, 1001))
            what = f"On {bits} bits your step leaves a mean squared error of {error(float(got)):.3g}"
            expect(error(float(got)) <= 1.01 * least, f"{what}; {least:.3g} can be had.")

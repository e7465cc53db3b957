"""Checkers of chapter p08, Out-of-distribution detection."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.exercises.checking import checker, expect, own_claim, same
from labkit.uncertainty.scores import odin

made_outliers = checker(own_claim)


@checker
def flagged(answer: Callable[[Tensor, Tensor], float]) -> None:
    """The share of known images at or below the smallest score that catches 95 % of the outliers."""
    generator = Generator().manual_seed(0)
    hundred = torch.arange(100.0)
    same(answer(hundred, hundred - 50), 0.45, "of scores 0..99 against -50..49, the share flagged")
    same(answer(hundred, hundred + 200), 1.0, "of scores that are all below those of the outliers, the share")
    same(
        answer(hundred, torch.arange(20.0) - 30), 0.0, "of scores that are all above the outliers', the share"
    )
    inside, outside = torch.randn(501, generator=generator) + 1, torch.randn(333, generator=generator)
    limit = outside.sort().values[math.ceil(0.95 * 333) - 1]
    share = (inside <= limit).double().mean().item()
    same(answer(inside, outside), share, "of 501 normal scores against 333 others, the share flagged")


@checker
def images_needed(answer: Callable[[float, float], int]) -> None:
    """1.96 standard deviations of a binomial share are the margin."""
    for share, margin in ((0.95, 0.01), (0.9, 0.02), (0.5, 0.05)):
        exact = share * (1 - share) * (1.96 / margin) ** 2
        name = f"images_needed({share}, {margin})"
        found = answer(share, margin)
        expect(isinstance(found, int | float), f"{name} should be a number.")
        expect(abs(found - exact) < 0.01 * exact + 1, f"{name} is {found:.6g}, and {exact:.0f} are needed.")


@checker
def compromise(answer: Callable[[int, float], float]) -> None:
    """Weights 1 + w / C for the true class and w / C for each other, scaled to a distribution."""
    same(float(answer(10, 0.0)), 1.0, "without outliers, compromise(10, 0.0)")
    for classes, weight in ((5, 0.5), (10, 2.0), (2, 1.0)):
        f = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([f], max_iter=200, tolerance_grad=1e-10)

        def loss(f: Tensor = f, weight: float = weight, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            value = -f.log_softmax(0)[0] - weight * f.log_softmax(0).mean()
            value.backward()
            return value

        optimizer.step(loss)
        found = f.detach().softmax(0)[0].item()
        same(float(answer(classes, weight)), found, f"compromise({classes}, {weight})", 1e-4)


@checker
def without_ties(answer: Callable[[Tensor, float], Tensor]) -> None:
    """A float32 score with the ranking of ODIN in float64."""
    logits = 5 * torch.randn(3_000, 10, generator=Generator().manual_seed(0))
    for temperature in (1000.0, 10_000.0, 10.0):
        found = answer(logits, temperature)
        expect(isinstance(found, Tensor) and found.shape == (len(logits),), "It should be a tensor, (N,).")
        expect(found.dtype == torch.float32, f"It is {found.dtype}, and should be float32.")
        tied = len(found) - len(found.unique())
        few = f"At T = {temperature:g}, {tied} of {len(found)} scores are copies of others."
        expect(tied < 0.01 * len(found), few)
        order = odin(logits, temperature)[found.argsort()]
        # neighbours may change places within the rounding of float32 logits
        expect(
            bool((order.diff() > -1e-6 * (order.max() - order.min())).all()),
            f"At T = {temperature:g} it does not rank as ODIN does.",
        )


@checker
def exposed_loss(answer: Callable[[nn.Module, Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """One forward pass; cross-entropy, plus the mean over outliers and classes of -log p."""
    torch.manual_seed(0)
    x, y, outliers = torch.randn(8, 4), torch.arange(8) % 3, 3 + 2 * torch.randn(12, 4)
    layers = nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
    counted = _Counted(nn.Sequential(*layers))
    for weight in (0.5, 0.0, 2.0):
        counted.calls = 0
        found = answer(counted, x, y, outliers, weight)
        expect(isinstance(found, Tensor) and found.ndim == 0, "The loss should be a tensor without axes.")
        passes = f"The network was asked {counted.calls} times; images and outliers share one forward pass."
        expect(counted.calls == 1, passes)
        known, other = counted.model(torch.cat([x, outliers])).split([8, 12])
        expected = F.cross_entropy(known, y) - weight * other.log_softmax(1).mean(1).mean()
        same(found.detach(), expected.detach(), f"the loss at weight {weight}", 1e-4)
    extreme = nn.Linear(4, 3)
    with torch.no_grad():
        extreme.weight.mul_(1e3)
    value = answer(extreme, x, y, outliers, 0.5)
    expect(bool(value.isfinite()), "Where logits are far apart the loss is no number.")


class _Counted(nn.Module):
    """A network that counts its forward passes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.calls = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y: Tensor = self.model(x)
        return y


@checker
def agreement(answer: Callable[[list[dict[str, Any]], str, str, str], float]) -> None:
    """Spearman's correlation over sets within a seed, then the mean over seeds."""
    values = {
        (0, "a"): (0.9, 0.8, 0.7, 0.6),
        (0, "b"): (0.99, 0.6, 0.55, 0.5),  # the same order: 1
        (1, "a"): (0.2, 0.3, 0.4, 0.5),
        (1, "b"): (0.5, 0.6, 0.7, 0.4),  # ranks 1 2 3 4 against 2 3 4 1: -0.2
    }
    rows = [
        {
            "seed": seed,
            "network": network,
            "set": name,
            "score": score,
            "AUROC": auroc if score == "MSP" else 1 - auroc,
        }
        for (seed, network), found in values.items()
        for name, auroc in zip("wxyz", found, strict=True)
        for score in ("MSP", "Energy")
    ]
    for told, given in (("", rows), (", rows in another order", rows[::-1][3:] + rows[::-1][:3])):
        same(float(answer(list(given), "a", "b", "MSP")), 0.4, f"the agreement of two seeds{told}")
    same(float(answer(rows, "a", "a", "Energy")), 1.0, "the agreement of a network with itself")

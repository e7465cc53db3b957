"""Checkers of chapter p02, networks that adapt to each image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from labkit.adaptive.decisions import overridden
from labkit.adaptive.dynamic_conv import Attention, DynamicConv2d
from labkit.exercises.checking import checker, expect, own_claim, same

own_adaptive_claim = checker(own_claim)


def _number(told: Any, what: str) -> float:
    if isinstance(told, Tensor) and told.ndim == 0:
        told = told.item()
    expect(isinstance(told, int | float), f"{what} should be a number, not {told!r}.")
    return float(told)


@checker
def largest_share(answer: Callable[[float, int], float]) -> None:
    """One kernel has the share s, the others an equal part of the rest; the entropy is given over ln K."""
    for entropy, kernels in ((0.99, 4), (0.9, 4), (0.6, 2)):
        what = f"largest_share({entropy}, {kernels})"
        s = _number(answer(entropy, kernels), what)
        expect(1 / kernels <= s < 1, f"{what} is {s:.4g}: the largest share lies between 1/K and 1.")
        rest = 1 - s
        found = -(s * math.log(s) + rest * math.log(rest / (kernels - 1))) / math.log(kernels)
        expect(abs(found - entropy) < 1e-3, f"{what} is {s:.4g}, whose entropy is {found:.4g} of ln K.")


@checker
def expected_shaping(answer: Callable[[int], float]) -> None:
    """The variances of the order statistics of uniform numbers, averaged."""
    for n in (1, 16, 64, 256):
        told = _number(answer(n), f"expected_shaping({n})")
        expect(abs(told * 6 * (n + 1) - 1) < 0.05, f"expected_shaping({n}) is not {told:.5g}: simulate it.")


@checker
def gate_gradients(answer: Callable[[float, float, float], tuple[float, float]]) -> None:
    """The first is a derivative of p L(1) + (1 - p) L(0), the second a mean over the noise."""
    u = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    for a, c, temperature in ((1.0, 0.3, 2 / 3), (-0.5, 0.8, 2 / 3), (1.0, 0.5, 2 / 3), (1.0, 0.3, 0.1)):
        told, what = answer(a, c, temperature), f"gate_gradients({a}, {c}, {temperature:.2g})"
        expect(isinstance(told, tuple | list) and len(told) == 2, f"{what} should be two numbers.")
        true, straight = (_number(value, what) for value in told)
        p = 1 / (1 + math.exp(-a))
        expected = p * (1 - p) * ((1 - c) ** 2 - c**2)
        expect(abs(true - expected) < 0.002, f"{what}: the true gradient is not {true:.4g}.")
        y = torch.sigmoid((a + torch.logit(u)) / temperature)
        mean = (2 * ((y > 0.5).double() - c) * y * (1 - y) / temperature).mean().item()
        expect(
            abs(straight - mean) < 0.01, f"{what}: straight-through does not give {straight:.4g} on average."
        )


@checker
def block_cost(answer: Callable[[Tensor, int, int, int, int], Tensor]) -> None:
    """With all gates open, the block costs what a plain one does, and its gate network."""
    draw = Generator().manual_seed(0)
    for inputs, outputs, pixels in ((16, 32, 64), (64, 64, 16)):
        gates = (torch.rand(5, outputs, generator=draw) < 0.4).float()
        gates[0] = 1.0
        net = inputs * 16 + 16 * outputs
        expected = gates.sum(1) * 9 * pixels * (inputs + outputs) + net
        told = answer(gates.clone(), inputs, outputs, pixels, 16)
        same(
            told,
            expected,
            f"block_cost of five images, {inputs} to {outputs} channels, all gates open in one",
        )


@checker
def strangers(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Whatever the order of the set, a stranger is of the image's class no more often than by chance."""
    for y in (torch.arange(10).repeat_interleave(50), torch.arange(10).repeat(50)):
        index = answer(y.clone(), 3)
        n = len(y)
        expect(isinstance(index, Tensor) and index.shape == (n,), f"Return {n} indices as a tensor.")
        same(index.sort().values.long(), torch.arange(n), "the set of all strangers")
        expect(not (index == torch.arange(n)).any(), "Some image is its own stranger.")
        shared = (y[index] == y).double().mean().item()
        expect(shared < 0.2, f"{100 * shared:.0f} % of the strangers are of the image's own class.")
        expect(
            shared > 0.02, f"{100 * shared:.0f} % are of the image's class: random strangers would be some."
        )
        again, other = answer(y.clone(), 3), answer(y.clone(), 4)
        expect(torch.equal(again, index), "The same seed should give the same strangers.")
        expect(not torch.equal(other, index), "Another seed should give other strangers.")


@checker
def frozen(answer: Callable[[DynamicConv2d, Tensor], nn.Conv2d]) -> None:
    """The mixture of the kernels, and of the biases, in a convolution of the same form."""
    torch.manual_seed(0)
    x, pi = torch.randn(3, 4, 8, 8), torch.tensor([0.1, 0.7, 0.2])
    for like in (nn.Conv2d(4, 6, 3, 2, padding=1), nn.Conv2d(4, 5, 1, bias=False)):
        layer = DynamicConv2d(like, 3)
        if layer.bias is not None:
            nn.init.normal_(layer.bias)
        with overridden(nn.ModuleDict({"layer": layer}), Attention, lambda _, own: pi.expand(len(own), 3)):
            expected = layer(x).detach()
        made = answer(layer, pi.clone())
        expect(type(made) is nn.Conv2d, "Return a plain nn.Conv2d.")
        same(made(x).detach(), expected, f"the output in place of a {like}", 1e-4)


@checker
def pooled_difference(
    answer: Callable[[Sequence[Mapping[str, Any]], str, str], tuple[float, float]],
) -> None:
    """Squared deviations from the mean of their arm, of all arms, over all their degrees of freedom."""
    draw = Generator().manual_seed(1)
    arms = {"plain": 0.56, "K = 1": 0.57, "K = 2": 0.56, "K = 4": 0.55}
    noise = 0.01 * torch.randn(len(arms), 6, generator=draw, dtype=torch.float64)
    values = {
        arm: [mean + x for x in row] for (arm, mean), row in zip(arms.items(), noise.tolist(), strict=True)
    }
    rows = [
        {"seed": seed, "arm": arm, "test accuracy": of[seed]}
        for seed in range(6)
        for arm, of in values.items()
    ]
    told = answer(rows, "K = 4", "plain")
    expect(isinstance(told, tuple | list) and len(told) == 2, "Return the difference and its standard error.")
    difference, error = (_number(value, "each of the two") for value in told)
    means = {arm: sum(of) / len(of) for arm, of in values.items()}
    squares = sum((x - means[arm]) ** 2 for arm, of in values.items() for x in of)
    same(difference, means["K = 4"] - means["plain"], "the difference of the means")
    same(error, math.sqrt(squares / (4 * 5) * (1 / 6 + 1 / 6)), "the standard error")

"""Checkers of chapter p07, improved regularisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.data.rotations import turned
from labkit.exercises.checking import checker, expect, same
from labkit.measure.intervals import mean_interval

Row = dict[str, Any]
METHODS = ("cutout", "mixup", "rotation")
MEASURES = ("test accuracy", "gap", "ECE")


@checker
def hidden_pixels(answer: Callable[[int, int], float]) -> None:
    """The pixels that a clipped square hides, averaged over its possible centres."""
    for side, length, pixels in ((4, 2, 3.0625), (32, 8, 56.25), (32, 16, 196.0)):
        same(answer(side, length), pixels, f"hidden_pixels({side}, {length})")


@checker
def best_margin(answer: Callable[[float], float]) -> None:
    """The logits at which the loss of a blend is at rest."""
    for share, margin in ((0.6, 0.405465), (0.9, 2.197225), (0.99, 4.59512)):
        same(answer(share), margin, f"best_margin({share})")
    same(answer(0.25), -answer(0.75), "best_margin(0.25)")


@checker
def share_of_own(answer: Callable[[float], tuple[float, float]]) -> None:
    """The distribution of the share with which labels need no blending."""
    for alpha in (0.4, 1.0):
        got = answer(alpha)
        expect(got is not None, "Your function returns None; it should return two numbers.")
        expect(len(got) == 2, "There are two parameters.")
        first, second = got
        mean = (alpha + 1) / (2 * alpha + 1)
        ours = first / (first + second)
        expect(
            math.isclose(ours, mean, rel_tol=1e-6),
            f"For alpha {alpha} your first image has a mean share of {ours:.3g}; twice the mean square of "
            f"lambda, which it should have, is {mean:.3g}.",
        )
        same(float(first), alpha + 1, f"the first parameter for alpha {alpha}")


class _TwoHeads:
    """Stands for a network: outputs that tell every pixel of what came in."""

    def both(self, x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return three class logits of `x` and four of the turns of `others`."""
        weights = torch.linspace(-1, 1, x[0].numel())
        first, second = (images.flatten(1) @ weights for images in (x, others))
        return first[:, None] * torch.tensor([1.0, -0.5, 0.2]), second[:, None] * torch.arange(4.0)


@checker
def two_task_loss(answer: Callable[..., Tensor]) -> None:
    """Mixup beside the rotation head: upright blends, turned images that are none, the batch left alone."""
    generator = Generator().manual_seed(0)
    x = torch.rand(4, 1, 3, 3, generator=generator)
    y, order, turns = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 0, 3, 1]), torch.tensor([0, 1, 2, 3])
    handed_in = x.clone()
    got = answer(_TwoHeads(), handed_in, y, order, 0.7, turns, 0.5)
    same(handed_in, x, "the batch that was handed in, afterwards,")
    logits, turn_logits = _TwoHeads().both(0.7 * x + 0.3 * x[order], turned(x, turns))
    blended = 0.7 * F.cross_entropy(logits, y) + 0.3 * F.cross_entropy(logits, y[order])
    same(got, blended + 0.5 * F.cross_entropy(turn_logits, turns), "the loss")


def _factorial(seeds: int) -> list[Row]:
    """Return rows of a factorial, made up, with an arm that trained longer; each measure has its order."""
    generator = Generator().manual_seed(0)
    rows = []
    for seed in range(seeds):
        for levels in product(("off", "on"), repeat=3):
            names = [method for method, level in zip(METHODS, levels, strict=True) if level == "on"]
            arm = {0: "baseline", 3: "all three"}.get(len(names), " + ".join(names))
            rows.append(
                {"seed": seed, "arm": arm, "training": "once"} | dict(zip(METHODS, levels, strict=True))
            )
        rows.append(rows[-8] | {"arm": "baseline, longer", "training": "longer"})
    noise = torch.randn(len(rows), len(MEASURES), generator=generator, dtype=torch.float64)
    for row, drawn in zip(rows, noise, strict=True):
        both = row["cutout"] == row["mixup"] == "on"
        for measure, value in zip(MEASURES, drawn.tolist(), strict=True):
            row[measure] = 0.4 + 0.02 * (row["mixup"] == "on") - 0.05 * both + 0.01 * value
        if row["training"] == "longer":
            row |= dict.fromkeys(MEASURES, 0.9)
    return rows


@checker
def two_spreads(answer: Callable[[list[Row], str, str], tuple[float, float]]) -> None:
    """How far a single contrast, and a main effect, differ from seed to seed."""
    rows = _factorial(6)
    for method, measure in (("mixup", "test accuracy"), ("rotation", "gap")):
        got = answer([dict(row) for row in rows], method, measure)
        expect(got is not None, "Your function returns None; it should return two numbers.")
        single, main = [], []
        for seed in range(6):
            here = [row for row in rows if row["seed"] == seed and row["training"] == "once"]
            alone = {row["arm"]: row[measure] for row in here}
            single.append(alone[method] - alone["baseline"])
            on, off = (fmean(row[measure] for row in here if row[method] == level) for level in ("on", "off"))
            main.append(on - off)
        same(got[0], stdev(single), f"the spread of the single contrast of {method} in {measure}")
        same(got[1], stdev(main), f"the spread of the main effect of {method} on {measure}")


@checker
def chosen_once(answer: Callable[[list[Row], str], float]) -> None:
    """The strength that held-out images choose over all seeds together."""
    # The seeds by themselves choose 4, 16 and 16: neither mean nor median nor most frequent choice is 8.
    held_out = {4: (0.50, 0.44, 0.44), 8: (0.49, 0.49, 0.49), 16: (0.40, 0.50, 0.50)}
    rows = [
        {"seed": seed, "length": length, "held-out accuracy": value, "test accuracy": 0.4 + length / 1000}
        for length, values in held_out.items()
        for seed, value in enumerate(values)
    ]
    same(answer(rows, "length"), 8, "the length chosen")


@checker
def best_temperature(answer: Callable[[Tensor, Tensor, list[float]], float]) -> None:
    """The divisor of the logits with the smallest negative log-likelihood."""
    generator = Generator().manual_seed(0)
    honest = 1.5 * torch.randn(4_000, 5, generator=generator)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator).squeeze(1)
    # Some of the answers are too sure, the others not sure enough: the temperature that matches the mean
    # confidence to the accuracy is half of the best one, that of the smallest ECE a quarter.
    bold = torch.rand(4_000, 1, generator=generator) < 0.3
    said = torch.where(bold, 3.0, 0.5) * honest
    temperatures = [0.25, 0.5, 1.0, 2.0, 4.0]
    for boast in (1.0, 2.0, 0.5):
        chosen = answer(boast * said, labels, temperatures)
        same(chosen, 2 * boast, f"the temperature of our logits, {boast:g} times as large,")


@checker
def looks_robust(answer: Callable[[Callable[[Tensor], Tensor]], Callable[[Tensor], Tensor]]) -> None:
    """The same answers, and a gradient that is nothing in numbers of 32 bits."""
    generator = Generator().manual_seed(0)
    weight = torch.randn(6, 3, generator=generator)

    def model(x: Tensor) -> Tensor:
        return x @ weight

    x = torch.randn(300, 6, generator=generator)
    top = model(x).topk(2).values
    x = x[top[:, 0] - top[:, 1] > 0.2]  # not those on the boundary
    y = model(x).argmax(1)
    fake = answer(model)
    expect(callable(fake), "Your function should return a function from images to logits.")
    same(fake(x).argmax(1), y, "what your function answers to the images")

    def after_fgsm(network: Callable[[Tensor], Tensor]) -> float:
        at = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(network(at), y, reduction="sum"), at)
        moved = x + 0.5 * gradient.sign()
        return (network(moved).argmax(1) == y).double().mean().item()

    kept = after_fgsm(fake)
    expect(
        kept == 1.0,
        f"FGSM leaves your network {kept:.0%} of its images; of the model {after_fgsm(model):.0%}.",
    )


@checker
def own_interaction(answer: Callable[[list[Row]], Mapping[str, Any]]) -> None:
    """An interaction of the reader's choice, its effects by seed, and the verdict that its interval gives."""
    rows = _factorial(8)
    told = answer([dict(row) for row in rows])
    wanted = {"first", "second", "measure", "margin", "effects", "verdict"}
    expect(isinstance(told, Mapping), "Your function should return a dict, and returns none.")
    expect(wanted <= set(told), f"Missing: {', '.join(sorted(wanted - set(told)))}.")
    first, second, measure, margin = (told[key] for key in ("first", "second", "measure", "margin"))
    expect({first, second} <= set(METHODS) and first != second, f"Choose two of {', '.join(METHODS)}.")
    expect(measure in MEASURES, f"Choose one of {', '.join(MEASURES)}.")
    expect(margin > 0, "The margin is how small an interaction is none for you: above zero.")
    effects = []
    for seed in range(8):
        here = [row for row in rows if row["seed"] == seed and row["training"] == "once"]
        sign = [(1 if row[first] == row[second] else -1) * row[measure] for row in here]
        effects.append(sum(sign) / 2)  # two arms for each of the four combinations
    got = torch.tensor([float(effect) for effect in told["effects"]], dtype=torch.float64)
    same(got, torch.tensor(effects, dtype=torch.float64), "the list of effects, one a seed,")
    found = mean_interval(effects)
    verdict = "undecided"
    if found.low > 0:
        verdict = "supported"
    elif found.high < 0:
        verdict = "contradicted"
    elif -margin < found.low and found.high < margin:
        verdict = "no difference"
    expect(told["verdict"] == verdict, f"The interval over your effects says {verdict!r}.")

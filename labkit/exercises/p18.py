"""Checkers of chapter p18, federated learning and its poisoning."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from labkit.distributed.federated.rules import average, krum_scores, squared_distances
from labkit.exercises.checking import checker, expect, own_claim, same

own_federated_claim = checker(own_claim)


@checker
def weighted_mean(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Weights are numbers of images over their sum."""
    models = torch.randn(4, 3, generator=Generator().manual_seed(0))
    for sizes in ([1.0, 1.0, 1.0, 1.0], [600.0, 0.0, 30.0, 7.0]):
        expected = average(models, torch.tensor(sizes))
        same(answer(models.clone(), torch.tensor(sizes)), expected, f"the mean for sizes {sizes}", 1e-4)


@checker
def honest_quantile(answer: Callable[[int, int], float]) -> None:
    """Lies below all honest values push the median down among them."""
    for clients, lying in ((100, 0), (100, 20), (100, 40), (1_000, 300)):
        found = float(answer(clients, lying))
        told = f"honest_quantile({clients}, {lying})"
        same(found, (clients / 2 - lying) / (clients - lying), told, 1e-6)


@checker
def trimmed_shift(answer: Callable[[float, float], float]) -> None:
    """The mean of what is left of a Gaussian when more is gone below than above."""
    bell = NormalDist()
    for lying, cut in ((0.1, 0.2), (0.2, 0.25), (0.2, 0.4), (0.3, 0.45)):
        below, above = cut / (1 - lying), (cut - lying) / (1 - lying)
        area = bell.pdf(bell.inv_cdf(below)) - bell.pdf(bell.inv_cdf(1 - above))
        expected = area / (1 - below - above)
        same(float(answer(lying, cut)), expected, f"trimmed_shift({lying}, {cut})", 1e-4)


@checker
def largest_gamma(answer: Callable[[Tensor, Tensor], float]) -> None:
    """At this factor the farthest honest model is as far away as two honest ones are from each other."""
    for seed in range(4):
        generator = Generator().manual_seed(seed)
        honest = torch.randn(9, 5, generator=generator).double()
        p = torch.rand(5, generator=generator).double() + 0.1
        found = float(answer(honest.clone(), p.clone()))
        allowed = torch.cdist(honest, honest).max().item()
        far = (honest.mean(0) + found * p - honest).norm(dim=1).max().item()
        told = f"With your γ of {found:.4g} the farthest model is {far:.4g} away; allowed are {allowed:.4g}."
        expect(found > 0 and abs(far / allowed - 1) < 2e-3, told)


@checker
def krum_choice(answer: Callable[[Tensor, int], int]) -> None:
    """The smallest sum of squared distances to the nearest others."""
    line = torch.tensor([[0.0], [1.0], [1.1], [4.0], [5.0], [5.5], [6.0]])
    cases = [(line, 1), (line, 2), (line, 3)]
    for k in range(30):
        generator = Generator().manual_seed(k)
        cases.append((torch.randn(7 + k % 4, 3, generator=generator).exp(), 1 + k % 3))
    for models, attackers in cases:
        expected = int(krum_scores(squared_distances(models), attackers).argmin())
        found = answer(models.clone(), attackers)
        told = f"Of {len(models)} models with {attackers} attackers you take number {found}"
        expect(int(found) == expected, f"{told}; Krum takes number {expected}.")


@checker
def worst_damage(answer: Callable[[list[dict[str, Any]], list[str]], dict[str, float]]) -> None:
    """The mean over seeds first, then the largest over attacks."""
    dice = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {
            "seed": seed,
            "rule": rule,
            "none": 0.1 + 0.05 * dice.random(),
            "flip": 0.15 + 0.3 * dice.random(),
            "forged": 0.2 + 0.3 * dice.random(),
        }
        for seed in range(4)
        for rule in ("mean", "median")
    ]
    for attacks in (["flip"], ["flip", "forged"]):
        found = answer([dict(row) for row in rows], list(attacks))
        expect(isinstance(found, dict), "Return a number for each rule, in a dict.")
        expect(set(found) == {"mean", "median"}, "Return one number for each rule there is.")
        for rule in ("mean", "median"):
            own = [row for row in rows if row["rule"] == rule]
            expected = max(float(np.mean([row[a] - row["none"] for row in own])) for a in attacks)
            same(float(found[rule]), expected, f"the worst damage to the {rule} over {attacks}", 1e-6)

"""How a server makes one model of many: averages, and rules that should withstand some liars.

Models are rows, (m, d); `attackers` is how many of them the server reckons with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labkit.errors import LabkitError


@dataclass(frozen=True)
class Received:
    """What a server has at the end of a round.

    Attributes:
        models: what the clients sent, (m, d).
        previous: the model that they were sent, (d,).
        sizes: how many images they say they have, (m,).
    """

    models: Tensor
    previous: Tensor
    sizes: Tensor


Rule = Callable[[Received], Tensor]


def average(models: Tensor, sizes: Tensor) -> Tensor:
    """Return the mean weighted by numbers of images: the rule of FedAvg (McMahan et al. 2017)."""
    return (sizes / sizes.sum()).to(models) @ models


def median(models: Tensor) -> Tensor:
    """Return the median of each coordinate, of an even number the mean of the middle two (Yin et al. 2018).

    `torch.median` would return the lower one.
    """
    ordered, m = _sorted(models), len(models)
    return ordered[(m - 1) // 2 : m // 2 + 1].mean(0)


def trimmed_mean(models: Tensor, cut: int) -> Tensor:
    """Return the mean of each coordinate without its `cut` largest and smallest values (Yin et al. 2018)."""
    _some_left(len(models) - 2 * cut, models, cut)
    return _sorted(models)[cut : len(models) - cut].mean(0)


def krum(models: Tensor, attackers: int) -> Tensor:
    """Return the model nearest to its neighbours (Blanchard et al. 2017)."""
    return models[krum_scores(squared_distances(models), attackers).argmin()]


def multi_krum(models: Tensor, attackers: int) -> Tensor:
    """Return the mean of the m - `attackers` models with the best scores of Krum (Blanchard et al. 2017)."""
    scores = krum_scores(squared_distances(models), attackers)
    return models[scores.argsort(stable=True)[: len(models) - attackers]].mean(0)


def krum_scores(distances: Tensor, attackers: int) -> Tensor:
    """Return for each model the sum of the squared distances to its m - `attackers` - 2 nearest others.

    `distances` (m, m) are squared.
    """
    neighbours = len(distances) - attackers - 2
    _some_left(neighbours, distances, attackers)
    others = distances.clone().fill_diagonal_(torch.inf)  # not itself
    return others.sort(1).values[:, :neighbours].sum(1)


def squared_distances(models: Tensor) -> Tensor:
    """Return the squared distance of each pair of models, (m, m) float64, from products in their own type."""
    # Models of a round are near to each other and far from zero: squares of the whole would cancel.
    apart = models - models.mean(0)
    products = (apart @ apart.T).double()
    squares = products.diagonal()
    return (squares.unsqueeze(0) + squares.unsqueeze(1) - 2 * products).clamp(min=0)


def clipped_mean(models: Tensor, previous: Tensor) -> Tensor:
    """Return the mean after shortening each client's step to the median length.

    Sun et al. (2019) clip to a length that is fixed beforehand. That would have to fall with training; the
    median length is what most clients have.
    """
    steps = models - previous
    lengths: Tensor = steps.norm(dim=1)
    shorter = (median(lengths) / lengths.clamp(min=1e-12)).clamp(max=1)
    return previous + (steps * shorter.unsqueeze(1)).mean(0)


def loss_rejection(models: Tensor, attackers: int, losses: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean of the models that are left when the `attackers` most harmful are turned away.

    The harm of a model is by how much the loss of the mean falls when it is left out: loss function based
    rejection (Fang et al. 2020, section 5), with the mean as its rule. `losses` returns those of models
    (k, d) on images of the server's own, (k,).
    """
    _some_left(len(models) - attackers, models, attackers)
    without = (models.sum(0) - models) / (len(models) - 1)
    kept = losses(without).argsort(descending=True, stable=True)[: len(models) - attackers]
    return models[kept].mean(0)


def _sorted(models: Tensor) -> Tensor:
    """Return each column in ascending order."""
    if models.device.type != "cpu":
        return models.sort(0).values
    return torch.from_numpy(np.sort(models.detach().numpy(), axis=0))  # ten times as fast as torch


def _some_left(count: int, models: Tensor, attackers: int) -> None:
    if count < 1:
        raise LabkitError(f"{len(models)} models leave nothing behind when {attackers} may be lies")

"""Local model poisoning: what the attacker's clients send in place of what they have learned.

The directed deviation of Fang et al. (2020, sections 3.2 and 3.3): find out in which direction each weight
would go without an attack, and send what makes the rule go the other way. And Min-Max of Shejwalkar and
Houmansadr (2021), which asks for no rule. Models here are weights, not gradients: against means against
their change.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from labkit.distributed.federated.rules import krum_scores, squared_distances
from labkit.distributed.federated.threats import AllModels, OwnModels

SMALLEST = 1e-5  # of the factors that the attacks halve
WIDEST = 2.0  # b of Fang et al., how far beyond the honest values


def gaussian(view: OwnModels, generator: Generator) -> Tensor:
    """Return noise with mean and deviation of the attacker's honest models: a control."""
    return view.own.mean(0) + view.own.std(0) * torch.randn(view.own.shape, generator=generator).to(view.own)


def direction(view: OwnModels) -> Tensor:
    """Return the sign of each weight's change without an attack, -1, 0 or 1, as far as the view tells."""
    honest = torch.cat([view.own, view.others]) if isinstance(view, AllModels) else view.own
    # Differences first: the mean of equal floats is not always that float, and still weights are to be 0.
    return (honest - view.previous).mean(0).sign()


def beyond_all(view: AllModels, generator: Generator) -> Tensor:
    """Return the attack on trimmed mean and median with full knowledge: just beyond the honest values.

    Where a weight would fall, between its largest honest value and b times as much, or, if that value is
    negative, a b-th of it; where it would rise, likewise beyond the smallest.
    """
    low, high = view.others.amin(0), view.others.amax(0)
    above = torch.where(high > 0, high * WIDEST, high / WIDEST)
    below = torch.where(low > 0, low / WIDEST, low * WIDEST)
    return _between(view, (high, above), (below, low), generator)


def beyond_guessed(view: OwnModels, generator: Generator) -> Tensor:
    """Return the attack on trimmed mean and median with partial knowledge.

    Three to four standard deviations from the mean, both as the attacker's honest models have them.
    """
    mean, std = view.own.mean(0), view.own.std(0)
    return _between(view, (mean + 3 * std, mean + 4 * std), (mean - 4 * std, mean - 3 * std), generator)


def deceive_krum(view: AllModels, generator: Generator) -> Tensor:
    """Return the attack on Krum with full knowledge: copies of one model, as far off as Krum still takes.

    Where it takes none that goes the wrong way, copies of the previous one, which stand still.
    """
    found = _farthest(view.previous, direction(view), view.others, len(view.own))
    return (view.previous if found is None else found).expand_as(view.own)


def deceive_krum_guessing(view: OwnModels, generator: Generator) -> Tensor:
    """Return the attack on Krum with partial knowledge: tried out on the attacker's own honest models.

    They stand for the honest ones; where Krum takes no lie among them, it is sent in more and more copies.
    """
    away = direction(view)
    for copies in range(1, len(view.own) - 1):
        found = _farthest(view.previous, away, view.own, copies)
        if found is not None:
            return found.expand_as(view.own)
    return view.previous.expand_as(view.own)


def min_max(view: AllModels, generator: Generator) -> Tensor:
    """Return copies of the mean plus γ standard deviations, γ as large as nobody would notice.

    No honest model is then farther from the lie than the two most distant honest ones are from each other.
    γ by step-halving from 10, as in the authors' code, which subtracts: it sends gradients, and weights go
    against these.
    """
    mean, std = view.others.mean(0), view.others.std(0)
    allowed = squared_distances(view.others).max()
    # |mean + γ std - u|² is a quadratic function of γ.
    apart = mean - view.others
    squares, products = apart.square().sum(1), apart @ std
    gamma, step, found = 10.0, 5.0, 0.0
    while step > SMALLEST:
        farthest = (squares + 2 * gamma * products + gamma**2 * (std @ std)).max()
        fits = bool(farthest <= allowed)
        found = gamma if fits else found
        gamma += step if fits else -step
        step /= 2
    return (mean + found * std).expand_as(view.own)


def _farthest(previous: Tensor, away: Tensor, honest: Tensor, copies: int) -> Tensor | None:
    """Return previous - λ away for the largest λ, halved again and again, that Krum takes among `honest`.

    `copies` of it are sent. None where Krum takes none down to the smallest λ.
    """
    h, size = len(honest), honest.shape[1] ** 0.5
    left = h - copies - 1
    if left < 1:
        return None
    between = squared_distances(honest)
    steps = honest - previous
    neighbours = between.clone().fill_diagonal_(torch.inf).sqrt().sort(1).values[:, : h - 2].sum(1)
    factor: float = (neighbours.min() / (left * size) + steps.norm(dim=1).max() / size).item()
    # Distances from the lie to the honest models are quadratic in λ: only these change.
    squares, along = steps.square().sum(1).double(), (steps @ away).double()
    nonzero = away.abs().sum().item()
    distances = between.new_zeros(h + copies, h + copies)
    distances[copies:, copies:] = between
    while factor >= SMALLEST:
        distances[:copies, copies:] = squares + 2 * factor * along + factor**2 * nonzero
        distances[copies:, :copies] = distances[:copies, copies:].T
        if krum_scores(distances, copies).argmin() < copies:
            return previous - factor * away
        factor /= 2
    return None


def _between(
    view: OwnModels, above: tuple[Tensor, Tensor], below: tuple[Tensor, Tensor], generator: Generator
) -> Tensor:
    """Return uniform draws: from `above` for weights that would fall, from `below` for those that would rise.

    Weights that would stay are as honest clients have them.
    """
    away = direction(view)
    low, high = (torch.where(away < 0, a, b) for a, b in zip(above, below, strict=True))
    drawn = low + (high - low) * torch.rand(view.own.shape, generator=generator).to(view.own)
    return torch.where(away == 0, view.own, drawn)

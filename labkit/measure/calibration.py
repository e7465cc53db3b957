"""Calibration: whether a network is right as often as it says (Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Bin:
    """The predictions whose confidence is above `low` and at most `high`.

    Attributes:
        low: lower edge, 0..1.
        high: upper edge, 0..1.
        share: part of all predictions that fall in, 0..1.
        confidence: their mean confidence, NaN where there are none.
        accuracy: the share of them that are right, NaN where there are none.
    """

    low: float
    high: float
    share: float
    confidence: float
    accuracy: float


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 15) -> list[Bin]:
    """Return predictions sorted into `bins` of equal width by confidence, the largest probability.

    `probabilities` is (N, classes) and `labels` int64 (N,).
    """
    confidence, predicted = probabilities.double().max(1)
    right = (predicted == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    found = []
    for k in range(bins):
        inside = place == k
        confident, accurate = confidence[inside].mean().item(), right[inside].mean().item()
        found.append(Bin(k / bins, (k + 1) / bins, inside.double().mean().item(), confident, accurate))
    return found


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: |accuracy - confidence| of the bins, weighted by share, 0..1."""
    return sum(each.share * abs(each.accuracy - each.confidence) for each in bins if each.share)


def overconfidence(bins: list[Bin]) -> float:
    """Return mean confidence minus accuracy: above 0 where a network promises too much."""
    return sum(each.share * (each.confidence - each.accuracy) for each in bins if each.share)


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> float:
    """Return the mean of -log p(label) in nats; `logits` is (N, classes), `labels` int64 (N,)."""
    return F.cross_entropy(logits.double(), labels).item()

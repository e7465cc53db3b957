"""Means over repeated runs and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Interval:
    """A mean over `n` runs and its confidence interval; `low` and `high` are NaN for a single run."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of `values` with its Student t interval: independent runs, roughly normal.

    With equal values the interval has no width; raises ValueError where there are none.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, n)
    t = special.stdtrit(n - 1, (1 + confidence) / 2)  # scipy.stats has it too, and is slow to import
    half = float(t * np.std(values, ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)

"""Deciding from repeated runs: Student's t against a bound, equivalence in a margin, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from scipy import special


def above(values: Sequence[float], bound: float) -> float:
    """Return the one-sided p value of Student's t test that the mean of what gave `values` is above `bound`.

    The values are of independent runs and roughly normal. Where all are equal it is 0, or 1 unless they are
    above the bound. A single value decides nothing: 1.
    """
    n, mean = len(values), fmean(values)
    if n < 2:
        return 1.0
    if min(values) == max(values):
        return 0.0 if values[0] > bound else 1.0
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    # scipy.stats has it too, and is slow to import
    return float(special.stdtr(n - 1, (bound - mean) / error))


def below(values: Sequence[float], bound: float) -> float:
    """Return the one-sided p value that the mean is below `bound`, as `above`."""
    return above([-value for value in values], -bound)


def inside(values: Sequence[float], margin: float) -> float:
    """Return the p value of two one-sided tests that the mean lies between -`margin` and `margin`.

    Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".
    """
    return max(above(values, -margin), below(values, margin))


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Return for each p value the level at which it is judged, so that among all at most `alpha` err.

    The smallest of m is judged at alpha / m, the next at alpha / (m - 1) and so on; from the first that is
    larger than its level on, all are judged at that level. Source: Holm 1979, "A simple sequentially
    rejective multiple test procedure".
    """
    levels, left, stopped = [0.0] * len(p_values), len(p_values), False
    level = alpha
    for place in sorted(range(len(p_values)), key=p_values.__getitem__):
        if not stopped:
            level = alpha / left
        levels[place] = level
        stopped = stopped or p_values[place] > level
        left -= 1
    return levels

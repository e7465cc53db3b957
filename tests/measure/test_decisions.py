"""Decisions from repeated runs against scipy's tests, and Holm's correction against closed testing."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from labkit.measure.decisions import above, below, holm, inside


@pytest.mark.parametrize("n", [2, 3, 8, 20])
@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.7])
def test_one_sided_p_values_are_those_of_scipy(n: int, shift: float) -> None:
    for values in np.random.default_rng(n).normal(shift, 2.0, (20, n)):
        for bound in (-0.5, 0.0, 1.3):
            greater = ttest_1samp(values, bound, alternative="greater").pvalue
            less = ttest_1samp(values, bound, alternative="less").pvalue
            assert above(list(values), bound) == pytest.approx(greater, rel=1e-9)
            assert below(list(values), bound) == pytest.approx(less, rel=1e-9)


def test_inside_is_the_larger_of_two_one_sided_tests() -> None:
    for values in np.random.default_rng(0).normal(0.2, 1.0, (20, 8)):
        low = ttest_1samp(values, -0.9, alternative="greater").pvalue
        high = ttest_1samp(values, 0.9, alternative="less").pvalue
        assert inside(list(values), 0.9) == pytest.approx(max(low, high), rel=1e-9)


def test_equal_values_are_beyond_a_bound_or_not_and_a_single_one_decides_nothing() -> None:
    assert (above([1.0, 1.0], 0.5), above([1.0, 1.0], 1.0), above([1.0, 1.0], 1.5)) == (0, 1, 1)
    assert (below([1.0, 1.0], 0.5), below([1.0, 1.0], 1.0), below([1.0, 1.0], 1.5)) == (1, 1, 0)
    assert (inside([0.0, 0.0], 0.1), inside([0.1, 0.1], 0.1)) == (0, 1)
    # Their mean is one bit off, and so is not what is looked at.
    assert (above([0.1] * 3, 0.1), below([0.1] * 3, 0.1)) == (1, 1)
    assert above([1.0], 0) == below([1.0], 2) == inside([1.0], 9) == 1


def rejected(p_values: list[float], alpha: float = 0.05) -> list[bool]:
    return [p <= level for p, level in zip(p_values, holm(p_values, alpha), strict=True)]


def closed(p_values: list[float], alpha: float) -> list[bool]:
    """Reject what is rejected in each set of hypotheses that holds it, by Bonferroni in the set."""
    places = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(places, size)]
    return [
        all(min(p_values[k] for k in chosen) <= alpha / len(chosen) for chosen in sets if place in chosen)
        for place in places
    ]


def test_holm_by_hand() -> None:
    # 0.05 / 4, 0.05 / 3, and then 0.03 is larger than 0.05 / 2.
    assert holm([0.03, 0.01, 0.04, 0.015]) == [0.025, 0.0125, 0.025, 0.05 / 3]
    assert rejected([0.03, 0.01, 0.04, 0.015]) == [False, True, False, True]
    # What a later level would allow is not, once one has failed: 0.04 is below 0.05.
    assert rejected([0.04, 0.03]) == [False, False]
    assert holm([0.04, 0.02]) == [0.05, 0.025]
    assert holm([0.04], 0.1) == [0.1]
    assert holm([]) == []


def test_holm_is_closed_testing() -> None:
    chance, seen = np.random.default_rng(0), set()
    for _ in range(500):
        m = int(chance.integers(1, 5))
        p_values = list(chance.uniform(0, 0.06, m))
        if chance.random() < 0.2:
            p_values[-1] = p_values[0]
        found = rejected(p_values)
        assert found == closed(p_values, 0.05)
        seen.add((m, sum(found)))
    assert seen == {(m, k) for m in range(1, 5) for k in range(m + 1)}

"""Checkers of chapter p03, TernGrad."""

from __future__ import annotations

from collections.abc import Callable

from labkit.exercises.checking import checker, same


@checker
def points(answer: Callable[[float, float], float]) -> None:
    """Return the difference of two shares in points."""
    for a, b, difference in ((0.5, 0.25, 25.0), (0.25, 1.0, -75.0)):
        same(answer(a, b), difference, f"points({a}, {b})")

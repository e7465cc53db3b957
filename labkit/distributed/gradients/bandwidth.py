"""How long a step takes over a given network."""

from __future__ import annotations


def step_seconds(compute: float, sent: float, rounds: float, bandwidth: float, latency: float) -> float:
    """Return the seconds of a step: first all is computed, then all is sent.

    `compute` in seconds, `sent` in bytes that leave a worker, `bandwidth` in bit/s both ways at once, and
    `latency` in seconds for each of the `rounds` in which all wait for all.
    """
    return compute + rounds * latency + 8 * sent / bandwidth


def break_even(
    plain: tuple[float, float, float], short: tuple[float, float, float], latency: float
) -> float:
    """Return the bandwidth, in bit/s, below which `short` is quicker than `plain`; 0 where it never is.

    Both are (compute, sent, rounds), as `step_seconds` takes them. Infinite where `short` is always quicker.
    """
    spared = 8 * (plain[1] - short[1])
    dearer = short[0] - plain[0] + (short[2] - plain[2]) * latency
    if spared <= 0:
        return 0.0
    return spared / dearer if dearer > 0 else float("inf")

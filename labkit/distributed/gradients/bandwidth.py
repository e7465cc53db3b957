"""How long a step takes over a given network."""

from __future__ import annotations


def step_seconds(compute: float, sent: float, rounds: float, bandwidth: float, latency: float) -> float:
    """Return the seconds of a step: first all is computed, then all is sent.

    `compute` in seconds, `sent` in bytes that leave a worker, `bandwidth` in bit/s both ways at once, and
    `latency` in seconds for each of the `rounds` in which all wait for all.
    """
    return compute + rounds * latency + 8 * sent / bandwidth

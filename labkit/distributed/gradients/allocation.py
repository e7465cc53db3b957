"""Which layer gets how many levels, where all layers together have so many bits."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from torch import Tensor

from labkit.distributed.gradients.packing import width
from labkit.distributed.gradients.rounding import clipped, rounding_variance

WIDTHS = (2, 3, 4, 5, 6, 8)  # bits a value


def levels_of(bits: int) -> int:
    """Return the most levels above zero of which codes of `bits` bits tell one: 1, 3, 7, ..."""
    return (1 << (bits - 1)) - 1


def noise(gradient: Tensor, bits: int, clip: float | None = 2.5) -> float:
    """Return the variance that rounding to `bits` bits adds to the gradient of a layer, summed over it."""
    cut = gradient if clip is None else clipped(gradient, clip)
    return rounding_variance(cut, float(cut.abs().max()), levels_of(bits))


def shared_out(noises: Sequence[Sequence[float]], sizes: Sequence[int], mean: float) -> list[int]:
    """Return bits a value for each layer, on average `mean` or a little less, that leave little noise.

    `noises` has for each layer the noise at each of `WIDTHS`, `sizes` the values of each layer. Greedy: the
    next bits go where they take away the most noise for each bit sent, among those that can still be paid.
    """
    at = [0] * len(sizes)
    left = mean * sum(sizes) - WIDTHS[0] * sum(sizes)
    worth: list[tuple[float, int]] = []

    def offer(layer: int) -> None:
        if at[layer] + 1 < len(WIDTHS):
            price = (WIDTHS[at[layer] + 1] - WIDTHS[at[layer]]) * sizes[layer]
            heapq.heappush(worth, ((noises[layer][at[layer] + 1] - noises[layer][at[layer]]) / price, layer))

    for layer in range(len(sizes)):
        offer(layer)
    while worth:
        _, layer = heapq.heappop(worth)
        price = (WIDTHS[at[layer] + 1] - WIDTHS[at[layer]]) * sizes[layer]
        if price <= left:
            left -= price
            at[layer] += 1
            offer(layer)
    return [WIDTHS[place] for place in at]


def bits_a_value(bits: Sequence[int], sizes: Sequence[int]) -> float:
    """Return the mean over all values of the bits of their layer."""
    return sum(b * n for b, n in zip(bits, sizes, strict=True)) / sum(sizes)


def with_levels(bits: Sequence[int]) -> dict[int, int]:
    """Return the levels of each layer, by its number, as `Levels` takes them."""
    assert all(width(2 * levels_of(b) + 1) == b for b in bits)
    return {layer: levels_of(b) for layer, b in enumerate(bits)}

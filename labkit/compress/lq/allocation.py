"""Which layer gets how many bits, when they may have so many on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.errors import LabkitError


def allocate(costs: Sequence[Mapping[int, float]], sizes: Sequence[int], average: float) -> list[int]:
    """Return the bits of each layer, at most `average` a weight over layers of `sizes` weights.

    `costs[l]` says what layer l costs with so many bits (its loss, for instance). All layers begin with the
    fewest bits; then, as long as some fit, the step that saves most cost for each bit of storage is taken.
    Raises LabkitError where even the fewest are too many.
    """
    chosen = [min(cost) for cost in costs]
    budget = average * sum(sizes)
    spent = sum(bits * size for bits, size in zip(chosen, sizes, strict=True))
    if spent > budget:
        raise LabkitError(f"{average:g} bits a weight are fewer than the fewest, {spent / sum(sizes):g}")
    while True:
        steps = [
            ((costs[layer][chosen[layer]] - cost) / ((bits - chosen[layer]) * sizes[layer]), layer, bits)
            for layer in range(len(costs))
            for bits, cost in costs[layer].items()
            if bits > chosen[layer] and spent + (bits - chosen[layer]) * sizes[layer] <= budget
        ]
        if not steps:
            return chosen
        _, layer, bits = max(steps)
        spent += (bits - chosen[layer]) * sizes[layer]
        chosen[layer] = bits

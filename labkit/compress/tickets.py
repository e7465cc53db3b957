"""Iterative magnitude pruning: train, prune, rewind (Frankle and Carbin 2019, section 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from labkit.compress.masks import Mask, Prune, everything, prunable, prune_global, weights_of


def iterative_pruning(
    model: nn.Module,
    rounds: int,
    fraction: float,
    *,
    rewind_to: Mapping[str, Tensor] | None,
    prune: Prune = prune_global,
) -> Iterator[tuple[int, Mask]]:
    """Yield (round, mask) for rounds 1..`rounds`; the body of the loop trains `model` under the mask.

    `model` comes trained dense. Each round removes `fraction` of the weights left, those of smallest
    magnitude, so that (1 - fraction)^round of them remain; then it loads the state `rewind_to`, the
    network's own at iteration 0 or k (late rewinding, Frankle et al. 2020). With None the weights stay as
    trained (Han et al. 2015).
    """
    names = prunable(model)
    mask = everything(weights_of(model, names))
    for number in range(1, rounds + 1):
        magnitudes = {name: weight.abs() for name, weight in weights_of(model, names).items()}
        mask = prune(mask, magnitudes, fraction)
        if rewind_to is not None:
            model.load_state_dict(rewind_to)
        yield number, mask

"""Iterative magnitude pruning: train, prune, rewind (Frankle and Carbin 2019, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from labkit.compress.masks import Mask, Prune, everything, prunable, prune_global, weights_of


def magnitudes(model: nn.Module) -> dict[str, Tensor]:
    """Return |w| of each prunable weight of `model`."""
    return {name: weight.abs() for name, weight in weights_of(model, prunable(model)).items()}


def iterative_pruning(
    model: nn.Module,
    fractions: Sequence[float],
    *,
    rewind_to: Mapping[str, Tensor] | None,
    prune: Prune = prune_global,
    score: Callable[[nn.Module], Mapping[str, Tensor]] = magnitudes,
) -> Iterator[tuple[int, Mask]]:
    """Yield (round, mask) for rounds 1, 2, ...; the body of the loop trains `model` under the mask.

    `model` comes trained dense. Each round scores the trained weights and removes the lowest: its entry of
    `fractions`, 0..1, of the weights *left*, so that n rounds with p leave (1 - p)^n. Then it loads the state
    `rewind_to`, the network's own at iteration 0 or k (late rewinding, Frankle et al. 2020). With None the
    weights stay as trained (Han et al. 2015).
    """
    mask = everything(magnitudes(model))
    for number, fraction in enumerate(fractions, start=1):
        mask = prune(mask, score(model), fraction)
        if rewind_to is not None:
            model.load_state_dict(rewind_to)
        yield number, mask

"""What an adaptive network decides for each image: read it, or put something else in its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.measure.predict import logits

Decisions = dict[str, Tensor]  # name of a layer → what it decided, (N, n)
Change = Callable[[str, Tensor], Tensor]


def decisions(model: nn.Module, kind: type[nn.Module], images: Images) -> Decisions:
    """Return what every module of type `kind` in `model` returns, in eval mode, for each of `images`.

    The names are those of the modules that hold them: the layer, not its attention or gate.
    """
    found: dict[str, list[Tensor]] = defaultdict(list)

    def keep(name: str, output: Tensor) -> Tensor:
        found[name].append(output.detach())
        return output

    with overridden(model, kind, keep):
        logits(model, images, [raw])
    return {name: torch.cat(parts) for name, parts in found.items()}


@contextmanager
def overridden(model: nn.Module, kind: type[nn.Module], change: Change) -> Iterator[None]:
    """Within, every module of type `kind` returns change(name of its layer, what it would return)."""
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, kind):
            layer = name.rpartition(".")[0]
            hooks.append(
                module.register_forward_hook(lambda _m, _x, output, layer=layer: change(layer, output))
            )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def replay(decided: Decisions) -> Change:
    """Return the change that hands out `decided` row by row: to the first image the first row, and so on.

    It serves one pass over the images.
    """
    done: dict[str, int] = defaultdict(int)

    def change(name: str, output: Tensor) -> Tensor:
        start, done[name] = done[name], done[name] + len(output)
        return decided[name][start : done[name]]

    return change

"""Multiply-adds, counted by torch's own counter."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.parts import evaluating


def multiply_adds(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, int]:
    """Return the multiply-adds of `model` for one image of `shape` (C, H, W), by name of module.

    The entry '' is the whole model. Counted are convolutions and matrix products, as they are run; additions,
    pooling, BatchNorm and activations are not. The model is used in eval mode and put back.
    """
    x = torch.zeros(1, *shape, device=next(model.parameters()).device)
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    counted = counter.get_flop_counts()
    root = type(model).__name__
    named = {name.removeprefix(root).removeprefix("."): sum(ops.values()) for name, ops in counted.items()}
    return {name: flops // 2 for name, flops in named.items() if name != "Global"}

"""Scores that decide which weights are kept: the higher, the better (Zhou et al. 2019; saliencies)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from labkit.data.batches import Loader
from labkit.models.parts import in_mode
from labkit.training.fit import cross_entropy

Scores = dict[str, Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]

# Each takes the weights of all layers before and after training, flat, and returns a score for each.
CRITERIA: dict[str, Criterion] = {
    "large_final": lambda before, after: after.abs(),
    "small_final": lambda before, after: -after.abs(),
    "large_init": lambda before, after: before.abs(),
    "small_init": lambda before, after: -before.abs(),
    "large_init_large_final": lambda before, after: torch.minimum(ranks(before.abs()), ranks(after.abs())),
    "small_init_small_final": lambda before, after: torch.minimum(ranks(-before.abs()), ranks(-after.abs())),
    "magnitude_increase": lambda before, after: after.abs() - before.abs(),
    "movement": lambda before, after: (after - before).abs(),
    "large_final_same_sign": lambda before, after: after.abs() * (before.sign() == after.sign()),
}


def ranks(values: Tensor) -> Tensor:
    """Return the place of each value in ascending order, 0..n-1, as float64.

    The smaller of two ranks is the highest common percentile that a weight passes in both orders, so keeping
    the largest of these scores keeps exactly as many weights as asked, without a search for the percentile.
    """
    places = torch.empty(len(values), dtype=torch.float64, device=values.device)
    places[values.argsort(stable=True)] = torch.arange(len(values), dtype=torch.float64, device=values.device)
    return places


def score(criterion: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Scores:
    """Return the scores by one of `CRITERIA` of weights `before` and `after` training, shaped as they are."""
    flat = [torch.cat([weights[name].flatten() for name in after]) for weights in (before, after)]
    parts = CRITERIA[criterion](*flat).split([weight.numel() for weight in after.values()])
    return {name: part.view_as(after[name]) for name, part in zip(after, parts, strict=True)}


def saliency(model: nn.Module, names: list[str], loader: Loader, batches: int = 1) -> Scores:
    """Return |g w|, g being the gradient of the mean cross-entropy over the first `batches` of `loader`.

    To first order, the change of the loss when the weight is removed. Of untrained weights on one batch it
    is the score of SNIP (Lee et al. 2019); of trained ones a Taylor criterion (Molchanov et al.
    2017). The model is used in train mode, its running statistics are put back.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    parameters = [model.get_parameter(name) for name in names]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    with in_mode(model, training=True):
        for step in range(batches):
            gradients = torch.autograd.grad(cross_entropy(model, loader.batch(step)), parameters)
            total = [t + g for t, g in zip(total, gradients, strict=True)]
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    scores = [(g / batches * p.detach()).abs() for g, p in zip(total, parameters, strict=True)]
    return dict(zip(names, scores, strict=True))

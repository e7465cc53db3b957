"""Pruning masks: which weights of a network are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Generator, Tensor, nn

from labkit.errors import LabkitError
from labkit.training.callbacks import Callback, Training

Mask = dict[str, Tensor]  # name of a weight → bool tensor of its shape, True where the weight is kept
Weights = dict[str, Tensor]
Prune = Callable[[Mask, Mapping[str, Tensor], float], Mask]


def prunable(model: nn.Module) -> list[str]:
    """Return the names of the weights that are pruned: those of all convolutions larger than 1x1.

    Biases, BatchNorm, 1x1 shortcuts and the output layer are exempt (Frankle and Carbin 2019).
    """
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    return [f"{name}.weight" for name, layer in layers if layer.kernel_size != (1, 1)]


def weights_of(model: nn.Module, names: Iterable[str]) -> Weights:
    """Return copies of the weights of `model` called `names`, detached."""
    return {name: model.get_parameter(name).detach().clone() for name in names}


def everything(weights: Mapping[str, Tensor]) -> Mask:
    """Return the mask that keeps all of `weights`."""
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}


def remaining(mask: Mask) -> float:
    """Return the fraction of weights that `mask` keeps, 0..1, counted over the prunable weights only."""
    return kept(mask) / sum(tensor.numel() for tensor in mask.values())


def kept(mask: Mask) -> int:
    """Return the number of weights that `mask` keeps."""
    return int(sum(tensor.sum().item() for tensor in mask.values()))


def prune_global(mask: Mask, scores: Mapping[str, Tensor], fraction: float) -> Mask:
    """Remove `fraction` of the weights still kept: those with the lowest scores over all tensors together.

    Exactly round(fraction * kept) weights go, whatever ties there are. Raises LabkitError for a fraction
    outside 0..1.
    """
    flat = torch.cat([tensor.flatten() for tensor in mask.values()])
    pruned = _prune(flat, torch.cat([scores[name].flatten() for name in mask]), fraction)
    parts = pruned.split([tensor.numel() for tensor in mask.values()])
    return {name: part.view_as(mask[name]) for name, part in zip(mask, parts, strict=True)}


def prune_layerwise(mask: Mask, scores: Mapping[str, Tensor], fraction: float) -> Mask:
    """Remove `fraction` of the weights still kept in each tensor: those with the lowest scores there."""
    return {
        name: _prune(tensor.flatten(), scores[name].flatten(), fraction).view_as(tensor)
        for name, tensor in mask.items()
    }


def prune_by_shape(mask: Mask, scores: Mapping[str, Tensor], fraction: float) -> Mask:
    """Remove `fraction` of the weights still kept, small layers at a lower rate: the lowest scores in each.

    A layer of n_in x n_out x h x w weights keeps a share proportional to (n_in + n_out + h + w) / (n_in n_out
    h w), at most all: the Erdos-Renyi-kernel densities (Evci et al. 2020). Each layer rounds for itself.
    """
    shares = _shares_by_shape({name: tensor.shape for name, tensor in mask.items()}, fraction, kept(mask))
    pruned = {}
    for name, tensor in mask.items():
        there = int(tensor.sum().item())
        stay = min(round(shares[name] * tensor.numel()), there)
        pruned[name] = _prune(tensor.flatten(), scores[name].flatten(), 1 - stay / max(1, there)).view_as(
            tensor
        )
    return pruned


def _shares_by_shape(shapes: Mapping[str, torch.Size], fraction: float, there: int) -> dict[str, float]:
    """Return which share of each tensor stays when `fraction` of `there` weights go."""
    wanted = (1 - _checked(fraction)) * there
    whole: set[str] = set()  # layers that would have to keep more than they hold
    while True:
        rest = [name for name in shapes if name not in whole]
        left = wanted - sum(shapes[name].numel() for name in whole)
        scale = left / max(1, sum(sum(shapes[name]) for name in rest))
        fuller = {name for name in rest if scale * sum(shapes[name]) > shapes[name].numel()}
        if not fuller:
            return dict.fromkeys(whole, 1.0) | {
                name: scale * sum(shapes[name]) / shapes[name].numel() for name in rest
            }
        whole |= fuller


def shuffled(mask: Mask, generator: Generator) -> Mask:
    """Return a mask that keeps as many weights of each tensor as `mask`, at random places."""
    return {
        name: tensor.flatten()[torch.randperm(tensor.numel(), generator=generator).to(tensor.device)].view_as(
            tensor
        )
        for name, tensor in mask.items()
    }


def _prune(mask: Tensor, scores: Tensor, fraction: float) -> Tensor:
    """Return the flat `mask` without the lowest-scored `fraction` of its True entries."""
    places = mask.nonzero().flatten()
    lowest = scores.flatten()[places].argsort(stable=True)[: round(_checked(fraction) * len(places))]
    pruned = mask.clone()
    pruned[places[lowest]] = False
    return pruned


def _checked(fraction: float) -> float:
    if not 0 <= fraction <= 1:
        raise LabkitError(f"the fraction to prune is {fraction}; allowed: 0 to 1")
    return fraction


class KeepMask(Callback):
    """Keeps pruned weights at exactly zero: before the first step and after every step.

    Masking the gradient would not do: momentum and weight decay move a weight without one.
    """

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def on_start(self, training: Training) -> None:
        """Set pruned weights to zero."""
        self._apply(training)

    def on_step_end(self, training: Training) -> None:
        """Set them to zero again."""
        self._apply(training)

    @torch.no_grad()
    def _apply(self, training: Training) -> None:
        for name, tensor in self.mask.items():
            training.model.get_parameter(name).mul_(tensor)

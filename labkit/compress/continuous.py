"""Continuous Sparsification: a mask learned with the weights (Savarese et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from labkit.compress.masks import Mask, prunable
from labkit.data.batches import Batch
from labkit.training.callbacks import Callback, Training
from labkit.training.fit import Loss, cross_entropy


class SoftMask(nn.Module):
    """w -> w * sigmoid(beta s) / sigmoid(s_0): a gate for each weight, open by half at first.

    The division, as in the authors' code, makes the network start from the weights it was given.
    """

    beta: Tensor

    def __init__(self, weight: Tensor, start: float) -> None:
        super().__init__()
        self.start = start
        self.s = nn.Parameter(torch.full_like(weight, start))
        self.register_buffer("beta", torch.ones((), device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the effective weight, of the shape of `weight`."""
        return weight * self.gate() / torch.sigmoid(torch.tensor(self.start)).item()

    def gate(self) -> Tensor:
        """Return sigmoid(beta s), 0..1."""
        return torch.sigmoid(self.beta * self.s)

    @torch.no_grad()
    def next_round(self) -> None:
        """Start another round: s <- min(beta s, s_0), beta <- 1; what was opened may close again."""
        self.s.copy_((self.beta * self.s).clamp(max=self.start))
        self.beta.fill_(1.0)


def soften(model: nn.Module, start: float) -> dict[str, SoftMask]:
    """Put a soft mask on each prunable weight of `model`, in place, and return them by the weight's name."""
    masks = {}
    for name in prunable(model):
        layer = model.get_submodule(name.removesuffix(".weight"))
        masks[name] = SoftMask(model.get_parameter(name).detach(), start)
        parametrize.register_parametrization(layer, "weight", masks[name])
    return masks


def hard_mask(masks: dict[str, SoftMask]) -> Mask:
    """Return the ticket's mask, 1[s > 0]."""
    return {name: mask.s.detach() > 0 for name, mask in masks.items()}


def penalised(masks: dict[str, SoftMask], strength: float) -> Loss:
    """Return the loss cross-entropy + strength * sum of all gates.

    The authors' strength, 1e-8, moves a gate by less than 1e-4 in a few hundred steps: what closes gates then
    is the cross-entropy.
    """

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(model, batch) + strength * sum(mask.gate().sum() for mask in masks.values())

    return loss


class Sharpening(Callback):
    """Raises beta from 1 to `final` over the training, exponentially, once an epoch of `epoch` steps."""

    def __init__(self, masks: dict[str, SoftMask], final: float, epoch: int) -> None:
        self.masks, self.final, self.epoch = masks, final, epoch

    def on_step_start(self, training: Training) -> None:
        """Set the beta of the step's epoch."""
        last = max(1, training.steps // self.epoch - 1)
        beta = self.final ** min(1.0, training.step // self.epoch / last)
        for mask in self.masks.values():
            mask.beta.fill_(beta)

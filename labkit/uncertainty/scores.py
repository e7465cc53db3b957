"""Scores of how much an input is like those that a network was trained on, from its logits alone.

Every score is larger for what is inside (in-distribution). Logits are (N, classes), scores (N,). Those made
of probabilities are float64: at a temperature of 1000 all lie within a hundredth of 1 / classes, and float32
would make ties.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.data.augment import Transform, apply
from labkit.data.images import Images
from labkit.models.parts import evaluating

Score = Callable[[Tensor], Tensor]


def msp(logits: Tensor) -> Tensor:
    """Return the largest probability (Hendrycks and Gimpel 2017)."""
    return odin(logits, 1.0)


def odin(logits: Tensor, temperature: float = 1000.0) -> Tensor:
    """Return the largest probability at a temperature (Liang et al. 2018); `uphill` has ODIN's other half."""
    return (logits.double() / temperature).softmax(1).amax(1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return minus the energy, T log sum exp(f / T) (Liu et al. 2020)."""
    return temperature * (logits / temperature).logsumexp(1)


def mean_gap(logits: Tensor) -> Tensor:
    """Return how far the largest logit is above the mean one: what ODIN ranks by at high temperatures."""
    f = logits.double()
    return f.amax(1) - f.mean(1)


SCORES: Mapping[str, Score] = MappingProxyType({"MSP": msp, "ODIN": odin, "Energy": energy})


def uphill(model: nn.Module, x: Tensor, epsilon: float, temperature: float = 1000.0) -> Tensor:
    """Return `x` moved so that the model is surer of its class: ODIN's input preprocessing.

    Pixels 0..255, (B, C, H, W), each moved by 255 `epsilon`: `epsilon` is in units of the pixels' range,
    as in the paper. As in its authors' code the result is not clipped. The model's mode is left as it is.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = model(x) / temperature
        loss = F.cross_entropy(logits, logits.argmax(1), reduction="sum")
        [gradient] = torch.autograd.grad(loss, x)
    return x.detach() - 255 * epsilon * gradient.sign()


def moved_logits(
    model: nn.Module, images: Images, transforms: Sequence[Transform], epsilon: float, size: int = 250
) -> Tensor:
    """Return the logits of `model` in eval mode on images moved `uphill` first, (N, classes)."""
    parts = []
    with evaluating(model):
        for start in range(0, len(images), size):
            x = apply(transforms, images.x[start : start + size], Generator())
            x = uphill(model, x.contiguous(memory_format=torch.channels_last), epsilon)
            with torch.no_grad():
                parts.append(model(x))
    return torch.cat(parts)

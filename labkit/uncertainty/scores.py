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
    """Return the largest probability at a temperature (Liang et al. 2018); its other half is `uphill`."""
    return (logits.double() / temperature).softmax(1).amax(1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return minus the energy, T log sum exp(f / T) (Liu et al. 2020)."""
    return temperature * (logits / temperature).logsumexp(1)


def mean_gap(logits: Tensor) -> Tensor:
    """Return how far the largest logit is above the mean one: what ODIN ranks by at high temperatures."""
    f = logits.double()
    return f.amax(1) - f.mean(1)


SCORES: Mapping[str, Score] = MappingProxyType({"MSP": msp, "ODIN": odin, "Energy": energy})


def uphill(model: nn.Module, x: Tensor, temperature: float = 1000.0) -> Tensor:
    """Return the direction in which the model becomes surer of its class: -1, 0 or 1 a pixel.

    Pixels 0..255, (B, C, H, W). The model's mode is left as it is. Source: Liang et al. 2018.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = model(x) / temperature
        loss = F.cross_entropy(logits, logits.argmax(1), reduction="sum")
        [gradient] = torch.autograd.grad(loss, x)
    return -gradient.sign()


def moved_logits(
    model: nn.Module,
    images: Images,
    transforms: Sequence[Transform],
    epsilons: Sequence[float],
    size: int = 250,
) -> list[Tensor]:
    """Return logits of `model` in eval mode, (N, classes), on images moved `uphill` by each of `epsilons`.

    An epsilon is in units of the pixels' range, as in the paper: pixels move by 255 times as much. As in its
    authors' code the result is not clipped.
    """
    parts: list[list[Tensor]] = [[] for _ in epsilons]
    with evaluating(model):
        for start in range(0, len(images), size):
            x = apply(transforms, images.x[start : start + size], Generator())
            x = x.contiguous(memory_format=torch.channels_last)
            direction = uphill(model, x)
            with torch.no_grad():
                for part, epsilon in zip(parts, epsilons, strict=True):
                    part.append(model(x + 255 * epsilon * direction))
    return [torch.cat(part) for part in parts]

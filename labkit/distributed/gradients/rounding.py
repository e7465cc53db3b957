"""Gradients rounded at random to a few levels, so that the mean over many draws is the gradient itself."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def clipped(gradient: Tensor, at: float) -> Tensor:
    """Return `gradient`, of one layer, with no value further from zero than `at` standard deviations.

    Values that are all the same have none, and stay.
    """
    deviation = gradient.std(correction=0)
    limit = torch.where(deviation > 0, at * deviation, torch.inf)
    return torch.maximum(torch.minimum(gradient, limit), -limit)


def rounded(gradient: Tensor, scale: Tensor, levels: int, generator: Generator) -> Tensor:
    """Return whole numbers in -levels..levels, int32, whose expectation is levels * gradient / scale.

    Of its two neighbours, a value takes the upper with the probability of its distance from the lower. With
    one level that is TernGrad (Wen et al. 2017, eq. 5 and 6), with more it is QSGD (Alistarh et al. 2017). No
    value may be further from zero than `scale`, which is one number or has the shape of `gradient`; where it
    is zero the answer is. Random numbers are drawn on the CPU.
    """
    size = gradient.abs() / torch.where(scale > 0, scale, 1) * levels
    drawn = torch.rand(gradient.shape, generator=generator).to(gradient.device)
    # A rounding error may put the largest value a digit above its scale.
    return ((size + drawn).floor().clamp(max=levels) * gradient.sign()).int()


def rounding_variance(gradient: Tensor, scale: float, levels: int = 1) -> float:
    """Return the expectation of the squared error of `rounded`, summed over all values.

    Each has a step of scale / levels and lies a share f above its lower neighbour: step^2 * f * (1 - f). With
    one level that is scale * |g|_1 - |g|_2^2.
    """
    if scale == 0:
        return 0.0
    step = scale / levels
    share = (gradient.double().abs() / step).frac()
    return float((share * (1 - share)).sum()) * step**2


def angle(a: Tensor, b: Tensor) -> float:
    """Return the angle between two gradients, in degrees."""
    a, b = a.flatten().double(), b.flatten().double()
    cosine = float(a @ b / (a.norm() * b.norm()))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))

"""Soft targets with something taken out of them, to see what it was good for."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def shuffled(v: Tensor, generator: Generator) -> Tensor:
    """Return logits `v`, (N, classes), in which all but the largest of each row have changed places.

    Entropy and confidence stay, at every temperature; which wrong class is likely no longer says anything.
    """
    top = v.argmax(1, keepdim=True)
    others = _others(v, top)
    order = torch.rand(others.shape, generator=generator).to(v.device).argsort(1)
    return _joined(v, top, others.gather(1, order))


def evened(v: Tensor, temperature: float) -> Tensor:
    """Return logits `v`, (N, classes), in which all but the largest of each row are equal.

    The probability of the largest at `temperature` stays: confidence is all that is left to teach.
    """
    top = v.argmax(1, keepdim=True)
    others = _others(v, top)
    level = temperature * (torch.logsumexp(others / temperature, 1, keepdim=True) - math.log(others.shape[1]))
    return _joined(v, top, level.expand_as(others))


def _others(v: Tensor, top: Tensor) -> Tensor:
    """Return all but the entry `top` of each row, (N, classes - 1)."""
    return v[torch.ones_like(v, dtype=torch.bool).scatter(1, top, False)].view(len(v), -1)


def _joined(v: Tensor, top: Tensor, others: Tensor) -> Tensor:
    """Return `v` with `others` in the place of all but the entry `top` of each row."""
    rest = torch.ones_like(v, dtype=torch.bool).scatter(1, top, False)
    return v.masked_scatter(rest, others.contiguous())

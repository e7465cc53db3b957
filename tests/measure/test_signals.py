"""Signals at each layer: by hand, for a chain of linear layers, and without a trace in the network."""

from __future__ import annotations

import math

import torch
from torch import nn

from labkit.measure.signals import signals


def rms(x: torch.Tensor) -> float:
    return x.detach().double().square().mean().sqrt().item()


def test_signals_of_a_chain_of_linear_layers_are_those_of_its_matrices() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)
    x, direction = torch.randn(5, 3), torch.randn(2)
    found = signals(model := nn.Sequential(first, last), [first, last], lambda: (model(x) * direction).sum())
    hidden = x @ first.weight.T + first.bias
    backward = direction @ last.weight  # the same for each of the five
    assert math.isclose(found[0].forward, rms(x), rel_tol=1e-5)
    assert math.isclose(found[1].forward, rms(hidden), rel_tol=1e-5)
    assert math.isclose(found[1].image, rms(hidden - hidden.mean(0)), rel_tol=1e-5)
    assert math.isclose(found[0].backward, rms(backward), rel_tol=1e-5)
    assert math.isclose(found[1].backward, rms(direction), rel_tol=1e-5)
    by_weight = torch.outer(backward, x.sum(0)), torch.outer(direction, hidden.sum(0))
    for signal, gradient, layer in zip(found, by_weight, (first, last), strict=True):
        assert math.isclose(signal.gradient, gradient.abs().max().item(), rel_tol=1e-4)
        assert math.isclose(signal.weight, rms(layer.weight), rel_tol=1e-6)


def test_what_is_the_same_in_all_images_is_no_signal_of_an_image() -> None:
    layer = nn.Conv2d(3, 4, 3)
    [signal] = signals(layer, [layer], lambda: layer(torch.ones(6, 3, 5, 5)).sum())
    assert (signal.forward, signal.image) == (1.0, 0.0)


def test_signals_leave_no_gradient_and_no_hook() -> None:
    layer = nn.Linear(2, 2)
    signals(layer, [layer], lambda: layer(torch.ones(1, 2)).sum())
    assert layer.weight.grad is None
    assert not layer._forward_hooks


def test_a_signal_that_has_almost_vanished_is_not_nothing() -> None:
    layer = nn.Linear(1, 1, bias=False)
    [signal] = signals(layer, [layer], lambda: layer(torch.full((1, 1), 1e-30)).sum())
    assert math.isclose(signal.forward, 1e-30, rel_tol=1e-5)

"""Fully connected networks: their sizes by hand, and where dropout stands."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.measure.flops import multiply_adds
from labkit.models.mlp import MLP


@pytest.mark.parametrize(
    ("units", "parameters", "products"),
    [(1200, 2_395_210, 2_392_800), (800, 1_276_810, 1_275_200), (30, 24_790, 24_720)],
)
def test_the_networks_of_the_paper_have_the_size_by_hand(units: int, parameters: int, products: int) -> None:
    model = MLP((units, units))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert products == 784 * units + units * units + units * 10
    assert multiply_adds(model, (1, 28, 28))[""] == products


def test_dropout_stands_before_every_linear_layer_and_rests_in_evaluation() -> None:
    model = MLP((50, 50), dropout=(0.2, 0.5))
    assert [layer.p for layer in model if isinstance(layer, nn.Dropout)] == [0.2, 0.5, 0.5]
    kinds = [type(layer).__name__ for layer in model]
    assert kinds == ["Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    x = torch.randn(3, 784)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    assert [type(layer).__name__ for layer in MLP((5,))] == ["Flatten", "Linear", "ReLU", "Linear"]

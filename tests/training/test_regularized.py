"""Training with a bound on the weights of a unit."""

from __future__ import annotations

import torch
from torch import nn

from labkit.data.embedded.glyphs import glyphs
from labkit.models.mlp import MLP
from labkit.training.regularized import MaxNorm, regularized


def test_no_hidden_unit_has_longer_weights_than_allowed() -> None:
    images = glyphs("train", 64)
    torch.manual_seed(0)
    model = MLP((20, 20), inputs=3072)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = regularized(model, images, 20, jitter=2, bound=0.5, batch=32, rate=0.01)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    lengths = {name: value.norm(dim=1).max().item() for name, value in weights.items() if value.ndim == 2}
    first, second, last = lengths.values()
    assert first <= 0.5001
    assert second <= 0.5001
    assert last > 0.5


def test_max_norm_leaves_short_weights_as_they_are() -> None:
    layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        layers[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))  # type: ignore[operator]

    class Seen:
        model = layers

    MaxNorm(2.0).on_step_end(Seen())  # type: ignore[arg-type]
    assert torch.allclose(layers[0].weight, torch.tensor([[1.2, 1.6], [0.3, 0.4]]), atol=1e-5)  # type: ignore[arg-type]

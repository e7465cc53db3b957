"""What a basis does in training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from labkit.compress.lq.layers import LQConv2d
from labkit.training.callbacks import Callback, Training


class BasisMoved(Callback):
    """Logs for each of the layers how far its basis has moved: |v - v_0| / |v_0|, mean of filters.

    Under ``moved <name>``, after every step.
    """

    def __init__(self, layers: Mapping[str, LQConv2d]) -> None:
        self.layers = layers
        self.first: dict[str, Tensor] = {name: layer.weights.basis.clone() for name, layer in layers.items()}

    def on_step_end(self, training: Training) -> None:
        """Log the step."""
        for name, layer in self.layers.items():
            before = self.first[name]
            away = (layer.weights.basis - before).norm(dim=1) / before.norm(dim=1)
            training.history.log(f"moved {name}", training.step, away.mean())

"""Noise-aware training: the gradient of every step is taken at weights with fresh Gaussian noise."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.measure.perturbation import gaussian
from labkit.models.parts import layer_weights
from labkit.randomness import stream
from labkit.training.callbacks import Callback, Training


class WeightNoise(Callback):
    """Adds noise of `scale` times the standard deviation of each layer's weights, for the gradient only.

    The noise of a step depends on `seed` and step only. The weights are exactly what they were before the
    optimizer moves them, also when a training is interrupted. Biases and BatchNorm stay clean, but running
    statistics are those under noise.
    """

    def __init__(self, scale: float, seed: int) -> None:
        self.scale, self.seed = scale, seed
        self._clean: list[tuple[Tensor, Tensor]] = []

    def on_step_start(self, training: Training) -> None:
        """Add the noise."""
        weights = layer_weights(training.model)
        self._clean = [(weight, weight.detach().clone()) for weight in weights]
        noise = gaussian(weights, self.scale, stream(self.seed, training.step))
        with torch.no_grad():
            for weight, part in zip(weights, noise, strict=True):
                weight.add_(part)

    def on_gradient(self, training: Training) -> None:
        """Take it away again."""
        self._restore()

    def on_end(self, training: Training) -> None:
        """Take it away where an error came before the gradient."""
        self._restore()

    @torch.no_grad()
    def _restore(self) -> None:
        for weight, clean in self._clean:
            weight.copy_(clean)
        self._clean = []

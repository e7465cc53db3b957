"""Training against over-fitting, as for fully connected networks: jitter and a bound on weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import Adam

from labkit.data.augment import pad_crop, raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.training.callbacks import Callback, Training
from labkit.training.fit import fit
from labkit.training.schedules import LearningRate, one_cycle


class MaxNorm(Callback):
    """After every step, shortens the incoming weights of a unit to the length `bound` where they are longer.

    Units are those of all linear layers but the last (Srivastava et al. 2014, section 5.1).
    """

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def on_step_end(self, training: Training) -> None:
        """Project the weights."""
        layers = [layer for layer in training.model.modules() if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            for layer in layers[:-1]:
                layer.weight.copy_(layer.weight.renorm(2, 0, self.bound))


def regularized(
    model: nn.Module, images: Images, steps: int, *, jitter: int, bound: float, batch: int, rate: float
) -> dict[str, Tensor]:
    """Return the weights of `model` after `steps` of Adam on `images`, moved by up to `jitter` pixels.

    `model` takes pixels 0..255 and stays as it is; dropout is a part of it. The norm of a unit's incoming
    weights is at most `bound`; the learning rate rises to `rate` over a fifth of the steps and falls to 0.
    """
    trained = copy.deepcopy(model)
    fit(
        trained,
        Loader(images, batch, [pad_crop(jitter), raw], 0),
        steps,
        Adam(trained.parameters(), rate, fused=True),
        callbacks=[LearningRate(one_cycle(steps)), MaxNorm(bound)],
        title="regularized",
    )
    return dict(trained.state_dict())

"""The usual way to train a CIFAR network, as a value: what the zoo keys on and what arms have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from labkit.data.augment import flip, pad_crop, raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.training.callbacks import Callback
from labkit.training.fit import Loss, cross_entropy, fit
from labkit.training.history import History
from labkit.training.schedules import LearningRate


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum on flipped and cropped images; the rate falls tenfold at each of `milestones`.

    The milestones are fractions of `steps`. The network takes pixels 0..255.
    """

    steps: int
    learning_rate: float = 0.1
    batch: int = 128
    momentum: float = 0.9
    weight_decay: float = 1e-4
    milestones: tuple[float, ...] = (1 / 2, 3 / 4)

    def loader(self, images: Images, seed: int) -> Loader:
        """Return the batches of `images`: mirrored at random, padded by 4 and cropped."""
        return Loader(images, self.batch, [flip, pad_crop(4), raw], seed)

    def sgd(self, parameters: Iterable[Any]) -> SGD:
        """Return the optimizer for `parameters`, tensors or groups of them."""
        # Copied: an optimizer keeps the groups it is given, and a schedule would write its rates into them.
        parameters = [dict(group) if isinstance(group, dict) else group for group in parameters]
        return SGD(parameters, self.learning_rate, self.momentum, weight_decay=self.weight_decay)

    def factor(self) -> Callable[[int], float]:
        """Return the factor of the learning rate as a function of the step."""
        at = [milestone * self.steps for milestone in self.milestones]
        return lambda step: 0.1 ** sum(step >= milestone for milestone in at)


def train(
    model: nn.Module,
    images: Images,
    recipe: Recipe,
    seed: int,
    *,
    loss: Loss = cross_entropy,
    optimizer: Optimizer | None = None,
    callbacks: Sequence[Callback] = (),
    title: str = "train",
) -> History:
    """Train `model` in place on `images` by `recipe` and return its history; `seed` orders the batches."""
    return fit(
        model,
        recipe.loader(images, seed),
        recipe.steps,
        optimizer or recipe.sgd(model.parameters()),
        loss=loss,
        callbacks=[LearningRate(recipe.factor()), *callbacks],
        title=title,
    )


def trained(model: nn.Module, images: Images, recipe: Recipe) -> dict[str, Tensor]:
    """Return the weights that `train` would give `model`, with seed 0; `model` stays. For `lab.shared`."""
    new = copy.deepcopy(model)
    train(new, images, recipe, 0)
    return dict(new.state_dict())

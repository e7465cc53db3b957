"""How a training does on images that it does not see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from labkit.data.augment import Transform
from labkit.data.images import Images
from labkit.measure.predict import logits
from labkit.training.callbacks import Callback, Training


class ValidationAccuracy(Callback):
    """Logs `validation_accuracy`, the share of held-out `images` seen correctly, every `every` steps."""

    def __init__(self, images: Images, transforms: Sequence[Transform], every: int) -> None:
        self.images, self.transforms, self.every = images, transforms, every

    def on_step_end(self, training: Training) -> None:
        """Compute and log the accuracy when it is time."""
        if (training.step + 1) % self.every == 0:
            right = logits(training.model, self.images, self.transforms).argmax(1) == self.images.y
            training.history.log("validation_accuracy", training.step, right.double().mean())


class ValidationLoss(Callback):
    """Logs `validation_loss`, the mean cross-entropy on held-out `images`, every `every` steps."""

    def __init__(self, images: Images, transforms: Sequence[Transform], every: int) -> None:
        self.images, self.transforms, self.every = images, transforms, every

    def on_step_end(self, training: Training) -> None:
        """Compute and log the loss when it is time."""
        if (training.step + 1) % self.every == 0:
            with torch.no_grad():
                loss = F.cross_entropy(logits(training.model, self.images, self.transforms), self.images.y)
            training.history.log("validation_loss", training.step, loss)

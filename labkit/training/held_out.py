"""How a training does on images that it does not see."""

from __future__ import annotations

from collections.abc import Sequence

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

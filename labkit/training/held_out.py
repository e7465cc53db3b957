"""How a training does on images that it does not see."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from labkit.data.augment import Transform
from labkit.data.images import Images
from labkit.measure.predict import logits
from labkit.training.callbacks import Callback, Training


class _HeldOut(Callback):
    """Measures the model on held-out `images` every `every` steps."""

    def __init__(self, images: Images, transforms: Sequence[Transform], every: int) -> None:
        self.images, self.transforms, self.every = images, transforms, every

    def on_step_end(self, training: Training) -> None:
        """Measure and log when it is time."""
        if (training.step + 1) % self.every == 0:
            self.measure(training, logits(training.model, self.images, self.transforms))

    def measure(self, training: Training, logits: Tensor) -> None:
        """Log what the `logits` of all images, (N, classes), say."""
        raise NotImplementedError


class ValidationAccuracy(_HeldOut):
    """Logs `validation_accuracy`, the share of held-out `images` seen correctly, every `every` steps."""

    def measure(self, training: Training, logits: Tensor) -> None:
        """Log the accuracy, 0..1."""
        right = logits.argmax(1) == self.images.y
        training.history.log("validation_accuracy", training.step, right.double().mean())


class ValidationLoss(_HeldOut):
    """Logs `validation_loss`, the mean cross-entropy on held-out `images`, every `every` steps."""

    def measure(self, training: Training, logits: Tensor) -> None:
        """Log the loss, in nats."""
        training.history.log("validation_loss", training.step, F.cross_entropy(logits, self.images.y))

"""What an attack leaves of a network's accuracy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from labkit.data.images import Images

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def attacked_accuracy(model: nn.Module, images: Images, attack: Attack, size: int = 500) -> float:
    """Return the share of `images` that `model` still sees correctly after `attack`, 0..1.

    `attack` takes the model, pixels 0..255 as float32 (B, C, H, W) and the true classes (B,), and returns
    the attacked pixels. The model is used in eval mode, on batches of `size`, and put back.
    """
    was_training = model.training
    model.eval()
    right = 0
    for start in range(0, len(images), size):
        x, y = images.x[start : start + size].float(), images.y[start : start + size]
        x = attack(model, x, y)
        with torch.no_grad():
            right += int((model(x).argmax(1) == y).sum())
    model.train(was_training)
    return right / len(images)

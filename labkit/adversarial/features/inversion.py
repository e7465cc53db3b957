"""Images made to have the features of others: inversion of a network's last layer but one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from labkit.adversarial.white_box.balls import L2
from labkit.data.images import Images
from labkit.models.normalized import Normalized
from labkit.models.parts import frozen
from labkit.training.precision import Switch, choose

_DIRECTION = L2(torch.inf)  # steps are as long in every image; nothing is projected


def penultimate(model: Normalized) -> Normalized:
    """Return the network from pixels to what the last layer of `model` (a sequence) reads, same weights."""
    layers = list(model.model.children())[:-1]
    cut = Normalized(nn.Sequential(*layers), model.mean.flatten().tolist(), model.std.flatten().tolist())
    return cut.to(model.mean.device).train(model.training)


@dataclass(frozen=True)
class Inversion:
    """Normalised gradient descent on half the squared distance between features, as a value.

    The squared distance has a gradient of zero where the features agree, and so a start at the goal itself
    stays there; the distance itself has none, and a root would give NaN.

    Attributes:
        step: length of the first step of each image in the L2 norm, in the unit of the pixels; the following
            ones fall linearly, the last has a `steps`-th of it.
        steps: number of gradients.
        high: the largest value of a pixel; the smallest is 0.
        precision: what gradients are computed in; images stay float32.
    """

    step: float
    steps: int
    high: float = 255.0
    precision: Switch = "auto"

    def __call__(self, features: nn.Module, goal: Tensor, start: Tensor) -> Tensor:
        """Return images (B, C, H, W) whose `features` are near `goal`, (B, F), found from `start`.

        The network is used in eval mode and without gradients of its parameters, and left as it was. The last
        iterate is returned, not the best.
        """
        precision, x = choose(start.device, self.precision), start.detach().clone()
        with frozen(features):
            for number in range(self.steps):
                x.requires_grad_()
                with torch.enable_grad(), precision.autocast():
                    distance = (features(precision.layout(x)).float() - goal).square().sum() / 2
                (gradient,) = torch.autograd.grad(distance, x)
                length = self.step * (1 - number / self.steps)
                x = (x.detach() - length * _DIRECTION.steepest(gradient)).clamp(0, self.high)
        found: Tensor = x.detach()
        return found


def distances(features: nn.Module, x: Tensor, goal: Tensor) -> Tensor:
    """Return how far the features of `x` are from `goal`, as a share of the length of `goal`, (B,)."""
    with frozen(features), torch.no_grad():
        away = torch.linalg.vector_norm(features(x) - goal, dim=1)
        lengths: Tensor = torch.linalg.vector_norm(goal, dim=1).clamp_min(1e-12)
    share: Tensor = away / lengths
    return share


def other_images(images: Images, generator: Generator) -> Tensor:
    """Return for each image the number of another one, drawn without a look at its label, int64 (N,).

    All are one random cycle: each image is taken once, and none for itself.
    """
    order = torch.randperm(len(images), generator=generator)
    others = torch.empty_like(order)
    others[order] = order.roll(1)
    return others.to(images.y.device)


def noise(images: Images, generator: Generator) -> Tensor:
    """Return as many images of uniform noise, uint8 of the shape of `images.x`."""
    return torch.randint(0, 256, images.x.shape, generator=generator, dtype=torch.uint8).to(images.x.device)


def inverted(
    model: Normalized, images: Images, start: Tensor, inversion: Inversion, size: int = 500
) -> Tensor:
    """Return images with the features that `model` sees in `images`, from `start`, as uint8 (N, C, H, W).

    Rounding is part of the result: judge the images that are returned.
    """
    features, parts = penultimate(model), []
    for x, begin in zip(images.x.split(size), start.split(size), strict=True):
        with frozen(features), torch.no_grad():
            goal = features(x.float())
        parts.append(inversion(features, goal, begin.float()).round().to(torch.uint8))
    return torch.cat(parts)

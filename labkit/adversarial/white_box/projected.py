"""Projected gradient descent in any ball, for whole batches (Madry et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.adversarial.white_box.balls import Ball
from labkit.models.parts import frozen
from labkit.training.precision import Precision, Switch, choose

# Logits in bfloat16 are off by about so much: an image that is only just over the boundary goes on.
SURE = 0.1


@dataclass(frozen=True)
class ProjectedGradient:
    """The attack x <- clip(project(x + step * steepest(grad))), a function of model, pixels and classes.

    The gradient is that of the cross-entropy of the class given for each image: it is raised, or lowered
    where the attack is `targeted`, at that class. One step of `ball.eps` without a random start is the fast
    gradient method.

    Attributes:
        ball: what changes are allowed, in the unit of the pixels.
        step: length of a step, in the norm of the ball.
        steps: number of gradients, one a step.
        targeted: whether the class given is the one to reach, not the one to leave.
        random_start: whether to begin anywhere in the ball, not at the image.
        restarts: number of runs; of each image, that is kept which ends with the largest `lead`.
        stop: whether an image leaves the batch as soon as the model errs on it (or sees the target), by at
            least `SURE`. This is all that an accuracy under attack asks for, and saves most gradients of a
            weak network; without it all images take all steps. What is seen comes with the gradient, at no
            further cost, and in the precision of the gradient: judge the images by a pass of their own.
        high: the largest value of a pixel; the smallest is 0.
        precision: what gradients are computed in; images stay float32.
    """

    ball: Ball
    step: float
    steps: int
    targeted: bool = False
    random_start: bool = True
    restarts: int = 1
    stop: bool = False
    high: float = 255.0
    precision: Switch = "auto"

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return attacked images for `x`, float32 (B, C, H, W) in 0..`high`, and classes `y`, (B,).

        The model normalises by itself. It is used in eval mode and without gradients of its parameters; mode,
        buffers and gradients are as before.
        """
        x, precision = x.detach(), choose(x.device, self.precision)
        with frozen(model):
            found = self._run(model, x, y, precision)
            if self.restarts > 1:
                best = self._lead(_logits(model, found, precision), y)
            for _ in range(self.restarts - 1):
                left = (best <= SURE).nonzero()[:, 0] if self.stop else torch.arange(len(x), device=x.device)
                if not len(left):
                    break
                other = self._run(model, x[left], y[left], precision)
                lead = self._lead(_logits(model, other, precision), y[left])
                further = lead > best[left]
                best[left[further]], found[left[further]] = lead[further], other[further]
        return found

    def _run(self, model: nn.Module, x: Tensor, y: Tensor, precision: Precision) -> Tensor:
        """Return where one run from one start ends."""
        here = (x + self.ball.uniform(x)).clamp(0, self.high) if self.random_start else x.clone()
        found, active = here.clone(), torch.arange(len(x), device=x.device)
        for _ in range(self.steps):
            gradient, logits = self._gradient(model, here, y, precision)
            if self.stop:
                left = self._lead(logits, y) <= SURE
                if not left.all():
                    active, here, x, y, gradient = (t[left] for t in (active, here, x, y, gradient))
                if not len(active):
                    break
            change = here + self.step * self.ball.steepest(gradient) - x
            here = (x + self.ball.project(change)).clamp(0, self.high)
            found[active] = here
        return found

    def _gradient(
        self, model: nn.Module, x: Tensor, y: Tensor, precision: Precision
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient to follow upwards, (B, C, H, W), and the logits that came on the way."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = _logits(model, x, precision)
            loss = F.cross_entropy(logits, y, reduction="sum")
        (gradient,) = torch.autograd.grad(-loss if self.targeted else loss, x)
        return gradient, logits.detach()

    def _lead(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return by how much the best wrong class is ahead of `y`, or `y` of all others if targeted, (B,)."""
        own = logits.gather(1, y[:, None])[:, 0]
        rest = logits.scatter(1, y[:, None], -torch.inf).amax(1)
        return own - rest if self.targeted else rest - own


def _logits(model: nn.Module, x: Tensor, precision: Precision) -> Tensor:
    with precision.autocast():
        logits: Tensor = model(precision.layout(x))
    return logits.float()

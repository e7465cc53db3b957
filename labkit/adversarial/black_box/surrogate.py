"""Where another network's gradient points, along the sphere around an original."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.adversarial.black_box.distance import length, per_image
from labkit.adversarial.black_box.sphere import across, unit, white
from labkit.models.parts import evaluating

POINTS = 4  # gradients of a network are rough: Brunner et al. take a few and choose one at random
INSIDE = 0.01  # of the distance: a little nearer to the original, and as far to the side


def gradients(
    surrogate: nn.Module,
    x: Tensor,
    source: Tensor,
    classes: Tensor,
    draws: Sequence[Generator],
    *,
    targeted: bool,
    high: float = 255.0,
) -> Tensor:
    """Return in which directions `surrogate` finds pictures near `x` more adversarial, (B, POINTS, C, H, W).

    `x`, 0..1 (B, C, H, W), has its originals at `x + source`. Each direction has length 1 and is at right
    angles to `source`. The surrogate takes pixels 0..`high`; it is used in eval mode and put back.
    """
    far = length(source)
    near = x + INSIDE * source
    noise = torch.stack([white(x.shape[1:], draw, POINTS) for draw in draws])
    radius = torch.stack([torch.rand((), generator=draw, device=x.device) for draw in draws]) * INSIDE * far
    points = (near[:, None] + per_image(radius, noise) * noise).flatten(0, 1).requires_grad_()
    with evaluating(surrogate), torch.enable_grad():
        loss = F.cross_entropy(surrogate(points * high), classes.repeat_interleave(POINTS), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, points)
    towards = unit(source).repeat_interleave(POINTS, 0)
    found = unit(across(-gradient if targeted else gradient, towards))
    return found.view(len(x), POINTS, *x.shape[1:])

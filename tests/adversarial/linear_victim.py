"""A victim of two classes whose boundary is a plane: every distance is known exactly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.adversarial.black_box.distance import Norm


class Plane(nn.Module):
    """Class 0 where w x + b > 0, else class 1; pixels are 0..255, w and b for those in 0..1."""

    def __init__(self, shape: tuple[int, int, int] = (3, 8, 8), classes: int = 2) -> None:
        super().__init__()
        size = shape[0] * shape[1] * shape[2]
        w = torch.randn(size, generator=torch.Generator().manual_seed(7))
        self.weight, self.bias = nn.Parameter(w / w.norm()), nn.Parameter(-0.5 * w.sum() / w.norm() - 0.3)
        self.classes = classes

    def height(self, x: Tensor) -> Tensor:
        # Not a matrix product: what an image gets must not depend on those beside it.
        return (x.flatten(1) / 255 * self.weight).sum(1) + self.bias

    def forward(self, x: Tensor) -> Tensor:
        z = self.height(x)
        far = torch.full_like(z, -1e9)
        return torch.stack([z, -z, *[far] * (self.classes - 2)], 1)

    @torch.no_grad()
    def exact(self, x: Tensor, norm: Norm = "L2") -> Tensor:
        """Return the exact distance of each image to the boundary, of pixels 0..1."""
        length = self.weight.norm() if norm == "L2" else self.weight.abs().sum()
        return self.height(x).abs() / length


def images(n: int, shape: tuple[int, int, int] = (3, 8, 8)) -> Tensor:
    """Return grey pictures far from black and white, so that no boundary point is clipped."""
    noise = torch.rand(n, *shape, generator=torch.Generator().manual_seed(3))
    return (127.5 + 40 * (noise - 0.5)).round()


def seen(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x).argmax(1)

"""Images that show one class and are labelled, and to a network look, as another."""

from __future__ import annotations

import dataclasses

import torch
from torch import Generator, Tensor, nn

from labkit.adversarial.white_box.projected import ProjectedGradient
from labkit.data.images import Images, fingerprint


def random_targets(y: Tensor, classes: int, generator: Generator) -> Tensor:
    """Return a class for each of the labels `y`, uniform and independent of the label, int64 (B,)."""
    return torch.randint(classes, y.shape, generator=generator).to(y.device)


def next_class(y: Tensor, classes: int) -> Tensor:
    """Return the class after each of the labels `y`, the first after the last, int64 (B,)."""
    return (y + 1) % classes


def towards(
    model: nn.Module, images: Images, targets: Tensor, attack: ProjectedGradient, size: int = 500
) -> Tensor:
    """Return what has to be added to each image for `model` to see its target, float32 (N, C, H, W).

    `attack` is targeted. Batches have `size` images.
    """
    parts = []
    for x, y in zip(images.x.split(size), targets.split(size), strict=True):
        parts.append(attack(model, x.float(), y) - x.float())
    return torch.cat(parts)


def relabelled(images: Images, change: Tensor, targets: Tensor, how: str) -> Images:
    """Return the images plus `change`, labelled as `targets`; `how` says in words what was done.

    Pixels stay float32: a change of 0.5 in 0..1, spread over a CIFAR image, is 2.3 grey levels a pixel, and
    rounding would take a good part of it.
    """
    x = (images.x.float() + change.float()).clamp(0, 255)
    return dataclasses.replace(
        images,
        name=f"{images.name}[{how}]",
        x=x,
        y=targets,
        fingerprint=fingerprint(x.cpu().numpy(), targets.cpu().numpy()),
        differences=f"{images.differences}; {how}".removeprefix("; "),
    )

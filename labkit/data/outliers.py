"""Images of no class: noise and textures that are drawn, and other sets brought into the form of a set."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from math import pi

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.data.images import Images, fingerprint
from labkit.randomness import stream

_UNIFORM, _GAUSSIAN, _TEXTURES = (2**33 + k for k in range(3))  # streams of their own

# The classes of Tiny ImageNet that are kinds of CIFAR-10.
# fmt: off
TINY_IN_CIFAR10 = frozenset((
    "n02814533", "n03100240", "n03670208", "n03977966", "n04285008",  # beach wagon to sports car
    "n03796401",  # moving van
    "n03447447", "n03662601",  # gondola, lifeboat
    "n01855672", "n02002724", "n02056570", "n02058221",  # goose, stork, penguin, albatross
    "n02123045", "n02123394", "n02124075",  # cats
    "n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799",  # dogs
    "n01641577", "n01644900",  # frogs
))
# fmt: on


def uniform_noise(n: int, seed: int) -> Images:
    """Return `n` images (n, 3, 32, 32) with every value drawn evenly from the pixels' range."""
    return _drawn("uniform noise", torch.rand(n, 3, 32, 32, generator=stream(seed, _UNIFORM)))


def gaussian_noise(n: int, seed: int) -> Images:
    """Return the same with values from N(0.5, 1) of that range, clipped to it (as ODIN's authors do)."""
    return _drawn("Gaussian noise", 0.5 + torch.randn(n, 3, 32, 32, generator=stream(seed, _GAUSSIAN)))


def textures(n: int, seed: int) -> Images:
    """Return `n` textures (n, 3, 32, 32): noise filtered to a grain of random slope, direction and colours.

    The amplitude falls with the frequency f as f^-a, a in 0.5..2.5, and more so across a random direction.
    """
    generator = stream(seed, _TEXTURES)
    slope, turn, stretch = torch.rand(3, n, 1, 1, 1, generator=generator)
    fy, fx = torch.meshgrid(torch.fft.fftfreq(32), torch.fft.rfftfreq(32), indexing="ij")
    along = fx * (pi * turn).cos() + fy * (pi * turn).sin()
    across = fy * (pi * turn).cos() - fx * (pi * turn).sin()
    frequency = (along.square() + (1 + 7 * stretch) * across.square()).sqrt() + 1 / 32
    noise = torch.fft.rfft2(torch.randn(n, 3, 32, 32, generator=generator))
    grain = torch.fft.irfft2(noise * frequency ** -(0.5 + 2 * slope), s=(32, 32))
    grain = (grain - grain.mean((2, 3), keepdim=True)) / grain.std((2, 3), keepdim=True)
    colours = torch.randn(n, 3, 3, generator=generator) / 3**0.5
    base = 0.3 + 0.4 * torch.rand(n, 3, 1, 1, generator=generator)
    return _drawn("textures", base + 0.2 * torch.einsum("nij,njhw->nihw", colours, grain))


def in_form(images: Images, channels: int, side: int) -> Images:
    """Return `images` with so many `channels`, 1 or 3, and `side` pixels: grey repeated, colours averaged.

    Those of another size are resized, bilinear and antialiased where they shrink: what is called the resized
    version of a set, not the crop.
    """
    x = images.x
    if channels == 1:
        x = x.float().mean(1, keepdim=True)
    if x.shape[-2:] != (side, side):
        x = F.interpolate(x.float(), (side, side), mode="bilinear", antialias=True)
    x = x.round().clamp(0, 255) if x.is_floating_point() else x
    return dataclasses.replace(images, x=x.to(torch.uint8).expand(-1, channels, -1, -1).contiguous())


def apart(images: Images, *others: Images) -> Images:
    """Return those of `images` that are in none of `others`, pixel for pixel: what judges may not train."""
    known = {hash(row.tobytes()) for other in others for row in other.x.cpu().numpy()}
    kept = [i for i, row in enumerate(images.x.cpu().numpy()) if hash(row.tobytes()) not in known]
    if len(kept) == len(images):
        return images
    return images.take(torch.tensor(kept, device=images.y.device), f"{len(kept)} that judge nothing")


def without(images: Images, classes: Collection[str]) -> Images:
    """Return those of `images` that are of none of the `classes`; they may name some it does not have."""
    kept = [k for k, label in enumerate(images.y.tolist()) if images.classes[label] not in classes]
    if len(kept) == len(images):
        return images
    return images.take(torch.tensor(kept, device=images.y.device), f"{len(kept)} of other classes")


def _drawn(name: str, values: Tensor) -> Images:
    """Return images from values of which 0..1 is the pixels' range."""
    x = (255 * values.clamp(0, 1)).round().to(torch.uint8)
    mark = fingerprint(x.numpy())
    return Images(name, x, torch.zeros(len(x), dtype=torch.int64), (name,), mark)

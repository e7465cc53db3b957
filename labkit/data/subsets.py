"""Random parts of a set of images, drawn from the seed of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.randomness import stream

_SUBSETS = 2**32  # a stream of its own: those of batches are numbered by step


def split(images: Images, sizes: Sequence[int], seed: int) -> list[Images]:
    """Return disjoint random parts of `images` with so many images each, another draw for every `seed`.

    A seed then varies what a repetition with new data would vary, too (Bouthillier et al. 2021). Raises
    LabkitError where there are fewer images.
    """
    if sum(sizes) > len(images):
        raise LabkitError(f"{images.name} has {len(images)} images, fewer than the {sum(sizes)} asked for")
    order = torch.randperm(len(images), generator=stream(seed, _SUBSETS))
    parts = order[: sum(sizes)].split(list(sizes))
    return [images.take(part.to(images.y.device), f"{len(part)} drawn by seed {seed}") for part in parts]


def of_classes(images: Images, wanted: Sequence[int]) -> Images:
    """Return the images of the classes `wanted`, labelled anew: 0 is the first of `wanted`, and so on."""
    index = torch.isin(images.y, torch.tensor(wanted, device=images.y.device)).nonzero().squeeze(1)
    found = images.take(index, f"classes {', '.join(map(str, wanted))}")
    place = torch.full((len(images.classes),), -1, device=images.y.device)
    place[list(wanted)] = torch.arange(len(wanted), device=images.y.device)
    names = tuple(images.classes[label] for label in wanted)
    return dataclasses.replace(found, y=place[found.y], classes=names)

"""Random parts of a set: disjoint, of the right sizes, other ones for each seed."""

from __future__ import annotations

import pytest
import torch

from labkit.data.images import Images
from labkit.data.subsets import of_classes, split
from labkit.errors import LabkitError


def some_images(n: int = 300) -> Images:
    x = torch.arange(n).view(n, 1, 1, 1).expand(n, 3, 2, 2).to(torch.uint8)
    return Images("some", x, torch.arange(n), tuple("0123456789"), "f")


def test_parts_are_disjoint_and_as_large_as_asked() -> None:
    parts = split(some_images(), (120, 60), seed=4)
    drawn = torch.cat([part.y for part in parts])
    assert [len(part) for part in parts] == [120, 60]
    assert len(drawn.unique()) == 180
    assert not torch.equal(drawn, drawn.sort().values)  # not the first ones
    assert torch.equal(parts[0].x[:, 0, 0, 0], parts[0].y.to(torch.uint8))  # labels stay with their images


def test_another_seed_draws_others_and_the_same_seed_the_same() -> None:
    one, again, other = (split(some_images(), (100,), seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one.y, again.y)
    assert one.fingerprint == again.fingerprint
    shared = len(set(one.y.tolist()) & set(other.y.tolist()))
    assert 15 < shared < 55  # 33 expected: independent draws
    assert one.fingerprint != other.fingerprint


def test_every_image_is_drawn_equally_often() -> None:
    counts = torch.zeros(20)
    for seed in range(2_000):
        counts[split(some_images(20), (5,), seed)[0].y] += 1
    assert counts.min() > 400  # 500 expected, standard deviation 19
    assert counts.max() < 600


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(LabkitError, match="some has 300 images, fewer than the 310 asked for"):
        split(some_images(), (300, 10), seed=0)


def test_classes_are_labelled_anew() -> None:
    images = some_images(30)
    labelled = Images("some", images.x, torch.arange(30) % 10, tuple("0123456789"), "f")
    last = of_classes(labelled, range(5, 10))
    assert last.classes == tuple("56789")
    assert last.y.tolist() == [0, 1, 2, 3, 4] * 3
    assert last.x[:, 0, 0, 0].tolist() == [i for i in range(30) if i % 10 >= 5]
    assert of_classes(labelled, [7, 2]).y.tolist() == [1, 0] * 3  # image 2 comes before image 7
    assert of_classes(labelled, range(5)).fingerprint != last.fingerprint

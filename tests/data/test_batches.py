"""Batches and transforms, against torchvision and against counting."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from labkit.data.augment import channel_statistics, flip, normalize, pad_crop, raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.data.vision import torchvision  # noqa: F401  # makes torchvision importable on any torch
from labkit.errors import LabkitError


def some_images(n: int = 50, size: int = 8) -> Images:
    x = torch.randint(0, 256, (n, 3, size, size), generator=Generator().manual_seed(3), dtype=torch.uint8)
    return Images("some", x, torch.arange(n) % 10, tuple("0123456789"), "f")


def test_each_crop_is_a_window_of_the_padded_image_and_all_windows_occur() -> None:
    image = some_images(1).x.expand(2_000, -1, -1, -1)
    crops = pad_crop(2)(image, Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image[0], [2] * 4)
    windows = [padded[:, i : i + 8, j : j + 8] for i in range(5) for j in range(5)]
    counts = [int((crops == window).flatten(1).all(1).sum()) for window in windows]
    assert sum(counts) == 2_000
    assert min(counts) > 40  # 80 expected


def test_a_crop_is_what_torchvision_crops_at_the_same_place() -> None:
    from torchvision.transforms.v2 import functional as peer

    images = some_images(6)
    crops = pad_crop(4)(images.x, Generator().manual_seed(5))
    top, left = torch.randint(9, (2, 6), generator=Generator().manual_seed(5))
    for image, crop, i, j in zip(images.x, crops, top.tolist(), left.tolist(), strict=True):
        assert torch.equal(crop, peer.crop(peer.pad(image, [4]), i, j, 8, 8))


def test_flip_mirrors_left_and_right_half_of_the_time() -> None:
    from torchvision.transforms.v2 import functional as peer

    images = some_images(400)
    flipped = flip(images.x, Generator().manual_seed(0))
    mirrored = (flipped == peer.horizontal_flip(images.x)).flatten(1).all(1)
    same = (flipped == images.x).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 160 < int(mirrored.sum()) < 240


def test_normalized_training_images_have_mean_zero_and_deviation_one() -> None:
    images = some_images()
    x = normalize(*channel_statistics(images.x))(images.x, Generator())
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_raw_keeps_the_pixel_values() -> None:
    images = some_images()
    assert torch.equal(raw(images.x, Generator()).long(), images.x.long())


def test_an_epoch_shows_each_image_once_in_an_order_of_its_own() -> None:
    loader = Loader(some_images(), 10, [raw], seed=1)
    epochs = [torch.cat([loader.batch(epoch * 5 + k).index for k in range(5)]) for epoch in range(2)]
    for order in epochs:
        assert order.sort().values.tolist() == list(range(50))
    assert epochs[0].tolist() != epochs[1].tolist()
    assert len(loader) == 5


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    images, transforms = some_images(), [flip, pad_crop(2), raw]
    straight, jumping = Loader(images, 10, transforms, 1), Loader(images, 10, transforms, 1)
    wanted = [straight.batch(step) for step in range(12)]
    for step in (11, 0, 7, 3):
        again = jumping.batch(step)
        assert torch.equal(again.x, wanted[step].x)
        assert torch.equal(again.y, wanted[step].y)
    assert not torch.equal(Loader(images, 10, transforms, 2).batch(0).index, wanted[0].index)


def test_the_same_image_is_augmented_anew_in_another_epoch() -> None:
    loader = Loader(some_images(), 50, [flip, pad_crop(2), raw], 0)
    views = [batch.x[batch.index.argsort()] for batch in map(loader.batch, range(2))]
    assert (views[0] != views[1]).flatten(1).any(1).float().mean() > 0.8


@pytest.mark.parametrize("size", [0, 51])
def test_a_batch_size_that_does_not_fit_is_refused(size: int) -> None:
    with pytest.raises(LabkitError, match="50 images"):
        Loader(some_images(), size, [raw], 0)


def test_a_part_of_a_set_has_its_own_name_and_fingerprint() -> None:
    images = some_images()
    part = images.first(20)
    assert (len(part), part.name) == (20, "some[first 20]")
    assert part.fingerprint not in (images.fingerprint, images.first(21).fingerprint)
    assert images.first(50) is images
    with pytest.raises(LabkitError, match="fewer than the 51"):
        images.first(51)

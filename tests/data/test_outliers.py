"""Images of no class: what is drawn has the form it says, and the loaders read small files of each format."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from labkit.data.embedded.digits import digits
from labkit.data.images import Images
from labkit.data.outliers import (
    TINY_IN_CIFAR10,
    apart,
    gaussian_noise,
    in_form,
    textures,
    uniform_noise,
    without,
)
from labkit.data.sources.outliers import TEXTURES, TINY_IMAGENET, picture_folder
from labkit.data.sources.registry import SOURCES
from labkit.errors import LabkitError

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("make", [uniform_noise, gaussian_noise, textures])
def test_what_is_drawn_depends_on_the_seed_alone(make: object) -> None:
    one, same, other = make(6, 3), make(6, 3), make(6, 4)  # type: ignore[operator]
    assert one.x.shape == (6, 3, 32, 32)
    assert one.x.dtype == torch.uint8
    assert torch.equal(one.x, same.x)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert not torch.equal(one.x, other.x)


def test_noise_has_the_distribution_it_names() -> None:
    uniform, gaussian = uniform_noise(40, 0).x.double() / 255, gaussian_noise(40, 0).x.double() / 255
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert uniform.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert gaussian.mean().item() == pytest.approx(0.5, abs=0.01)
    # P(N(0.5, 1) < 0) = 0.3085 on either side
    assert (gaussian == 0).double().mean().item() == pytest.approx(0.31, abs=0.01)
    assert (gaussian == 1).double().mean().item() == pytest.approx(0.31, abs=0.01)


def test_textures_have_grain_and_noise_has_none() -> None:
    def neighbours(images: Images) -> float:
        x = images.x.double()
        x = x - x.mean((2, 3), keepdim=True)
        return ((x[..., 1:] * x[..., :-1]).mean() / x.square().mean()).item()

    assert neighbours(textures(60, 0)) > 0.4
    assert abs(neighbours(uniform_noise(60, 0))) < 0.02


def test_grey_digits_become_photographs() -> None:
    small = digits("test", 4)
    large = in_form(small, 3, 32)
    assert large.x.shape == (4, 3, 32, 32)
    assert torch.equal(large.x[:, 0], large.x[:, 2])
    assert torch.equal(large.y, small.y)
    assert large.x.double().mean().item() == pytest.approx(small.x.double().mean().item(), rel=0.03)
    already = uniform_noise(2, 0)
    assert torch.equal(in_form(already, 3, 32).x, already.x)


def test_a_smaller_picture_is_the_mean_of_a_larger() -> None:
    x = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    x[..., ::2] = 200  # stripes of one pixel: without antialiasing they would stay
    shrunk = in_form(Images("stripes", x, torch.zeros(1, dtype=torch.int64), ("a",), "f"), 3, 32)
    assert (shrunk.x[..., 4:-4].float() - 100).abs().max() < 5


def test_colours_become_grey() -> None:
    grey = in_form(uniform_noise(2, 0), 1, 28)
    assert grey.x.shape == (2, 1, 28, 28)
    flat = Images(
        "flat", torch.tensor([30, 60, 91], dtype=torch.uint8).view(1, 3, 1, 1), grey.y[:1], ("a",), "f"
    )
    assert in_form(flat, 1, 1).x.item() == 60


def test_what_judges_does_not_train() -> None:
    outliers = uniform_noise(6, 0)
    judges = outliers.take(torch.tensor([1, 4]), "two")
    left = apart(outliers, judges, textures(3, 0))
    assert torch.equal(left.x, outliers.x[[0, 2, 3, 5]])
    assert left.fingerprint != outliers.fingerprint
    assert apart(outliers, textures(3, 0)) is outliers


def test_svhn_is_read(tmp_path: Path) -> None:
    for split, n in (("train", 3), ("test", 2)):
        content = {"X": COLOURS[:n].transpose(1, 2, 3, 0), "y": np.array([[10], [1], [9]][:n], np.uint8)}
        savemat(tmp_path / f"{split}_32x32.mat", content)
    found = SOURCES["svhn"].read([tmp_path / f"{split}_32x32.mat" for split in ("train", "test")])
    np.testing.assert_array_equal(found["train_images"], COLOURS[:3])
    np.testing.assert_array_equal(found["test_images"], COLOURS[:2])
    assert found["train_labels"].tolist() == [0, 1, 9]  # the file calls a zero 10
    assert found["test_labels"].dtype == np.int64


def test_textures_are_read(tmp_path: Path) -> None:
    grey = np.tile(np.arange(96, dtype=np.uint8)[None, :, None], (64, 1, 3))  # 96 wide, 64 high
    with tarfile.open(tmp_path / "dtd.tar.gz", "w:gz") as archive:
        for name in ("images/woven/woven_0002.jpg", "images/banded/banded_0001.jpg", "labels/test1.txt"):
            content = encoded(grey, "JPEG")
            member = tarfile.TarInfo(f"dtd/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    found = SOURCES["dtd"].read([tmp_path / "dtd.tar.gz"])
    assert found["test_images"].shape == (2, 32, 32, 3)
    assert [TEXTURES[label] for label in found["test_labels"]] == ["banded", "woven"]
    # resized to 48 x 32, the middle 32 columns are those from 16 to 79 of 96
    middle = found["test_images"][0, 16, :, 0].astype(int)
    assert abs(middle[0] - 16) < 3
    assert abs(middle[-1] - 79) < 3


def test_tiny_imagenet_is_read(tmp_path: Path) -> None:
    root, large = "tiny-imagenet-200/val", np.full((64, 64, 3), 77, np.uint8)
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        lines = [f"val_{i}.JPEG\t{TINY_IMAGENET[c]}\t0\t0\t9\t9" for i, c in ((0, 199), (1, 0))]
        archive.writestr(f"{root}/val_annotations.txt", "\n".join(lines) + "\n")
        for i in range(2):
            archive.writestr(f"{root}/images/val_{i}.JPEG", encoded(large, "JPEG"))
    found = SOURCES["tiny_imagenet_val"].read([tmp_path / "tiny.zip"])
    assert found["test_images"].shape == (2, 64, 64, 3)
    assert found["test_labels"].tolist() == [199, 0]
    assert abs(int(found["test_images"].mean()) - 77) < 3


def test_a_folder_of_pictures_is_read(tmp_path: Path) -> None:
    """The form in which LSUN comes from ODIN's authors: numbered PNGs, in a folder of their own."""
    folder = tmp_path / "LSUN_resize"
    (folder / "sub").mkdir(parents=True)
    for i in (2, 0, 1):
        (folder / f"{i}.png").write_bytes(encoded(COLOURS[i], "PNG"))
    (folder / "sub" / "wide.png").write_bytes(encoded(np.zeros((32, 40, 3), np.uint8), "PNG"))
    (folder / "notes.txt").write_text("no picture")
    found = picture_folder(folder)
    assert found.name == "LSUN_resize"
    np.testing.assert_array_equal(found.x[:3].permute(0, 2, 3, 1).numpy(), COLOURS[:3])
    assert found.x.shape == (4, 3, 32, 32)
    assert [found.classes[label] for label in found.y] == ["LSUN_resize"] * 3 + ["sub"]
    assert picture_folder(folder).fingerprint == found.fingerprint


def test_a_folder_without_good_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match="no pictures in"):
        picture_folder(tmp_path)
    (tmp_path / "torn.png").write_bytes(encoded(COLOURS[0], "PNG")[:200])
    with pytest.raises(LabkitError, match=r"torn\.png is no picture"):
        picture_folder(tmp_path)


def test_classes_can_be_left_out() -> None:
    images = Images("few", torch.zeros(4, 3, 2, 2), torch.tensor([0, 2, 1, 2]), ("a", "b", "c"), "few")
    left = without(images, {"c", "unknown"})
    assert left.y.tolist() == [0, 1]
    assert left.classes == images.classes
    assert without(images, {"unknown"}) is images
    assert set(TINY_IMAGENET) >= TINY_IN_CIFAR10
    assert len(TINY_IN_CIFAR10) == 23

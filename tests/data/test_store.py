"""Reading and writing real data sets on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.data import store
from labkit.data.sources.source import Arrays
from labkit.errors import LabkitError

RNG = np.random.default_rng(0)
ARRAYS: Arrays = {
    "train_images": RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
    "train_labels": np.array([0, 1, 2, 2, 1, 1]),
    "test_images": RNG.integers(0, 256, (2, 5, 4, 3), dtype=np.uint8),
    "test_labels": np.array([1, 2]),
}
CARD = {"classes": ["cat", "dog", "cow"], "licence": "free", "differences": "smaller"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    store.write_set("farm", ARRAYS, CARD)
    return tmp_path


def failure(name: str = "farm", split: str = "train") -> str:
    """The message with which loading fails: one line."""
    with pytest.raises(LabkitError) as caught:
        store.load(name, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_set_comes_back_as_it_was_written(folder: Path) -> None:
    train = store.load("farm", "train")
    assert (train.x.shape, train.x.dtype, train.y.dtype) == ((6, 3, 5, 4), torch.uint8, torch.int64)
    assert train.x.is_contiguous()
    np.testing.assert_array_equal(train.x.permute(0, 2, 3, 1).numpy(), ARRAYS["train_images"])
    np.testing.assert_array_equal(train.y.numpy(), ARRAYS["train_labels"])
    assert (train.name, train.classes, train.differences) == ("farm/train", ("cat", "dog", "cow"), "smaller")
    assert store.available() == ["farm"]
    assert store.splits("farm") == {"train": (6, 5, 4, 3), "test": (2, 5, 4, 3)}


def test_grey_images_have_one_channel_and_classes_may_be_a_number(folder: Path) -> None:
    arrays = {"train_images": ARRAYS["train_images"][..., :1], "train_labels": ARRAYS["train_labels"]}
    store.write_set("grey", arrays, {"classes": 3})
    grey = store.load("grey", "train")
    assert grey.x.shape == (6, 1, 5, 4)
    assert (grey.classes, grey.differences) == (("0", "1", "2"), "")


def test_the_fingerprint_names_content_and_split(folder: Path) -> None:
    train, test = store.load("farm", "train").fingerprint, store.load("farm", "test").fingerprint
    written = (folder / "farm.npz").read_bytes()
    store.write_set("farm", ARRAYS, CARD)
    assert (folder / "farm.npz").read_bytes() == written
    assert store.load("farm", "train").fingerprint == train
    store.write_set("farm", {**ARRAYS, "train_labels": ARRAYS["train_labels"][::-1].copy()}, CARD)
    assert len({train, test, store.load("farm", "train").fingerprint}) == 3
    assert all(len(bytes.fromhex(mark)) == 8 for mark in (train, test))


def test_an_altered_byte_is_found(folder: Path) -> None:
    store.load("farm", "train")  # it was right once: the checksum must not be remembered past a change
    npz = folder / "farm.npz"
    content = bytearray(npz.read_bytes())
    content[200] ^= 1
    npz.write_bytes(content)
    os.utime(npz, ns=(1, 1))
    assert "farm.npz was altered or cut short" in failure()


def test_a_truncated_file_is_found(folder: Path) -> None:
    npz = folder / "farm.npz"
    npz.write_bytes(npz.read_bytes()[:-10])
    assert "farm.npz was altered or cut short" in failure()
    with pytest.raises(LabkitError, match="cannot read"):
        store.splits("farm")


def test_an_unchanged_file_is_checked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.load("farm", "train")
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read a second time"))
    store.load("farm", "test")


def test_what_is_missing_is_named_with_what_to_do(folder: Path) -> None:
    message = failure("cifar10")
    assert "no cifar10.json" in message
    assert "(sets there: farm)" in message
    assert "labkit data fetch cifar10" in message
    assert "LABKIT_DATA" in message
    assert "fetch" not in failure("imaginary"), "a set that cannot be fetched must not be promised"
    assert failure("farm", "val") == 'farm has no split "val" with labels; those it has: train, test'
    (folder / "farm.npz").unlink()
    assert "no farm.npz" in failure()
    assert store.available() == []


def test_a_folder_that_is_not_there_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "nowhere"))
    assert store.available() == []
    assert "(sets there: none)" in failure("cifar10")


@pytest.mark.parametrize("card", ["{", "[]", "{}", '{"classes": 3}', '{"classes": null, "sha256": "0"}'])
def test_a_malformed_card_is_named(folder: Path, card: str) -> None:
    (folder / "farm.json").write_text(card)
    assert "farm.json is not the card of a data set" in failure()


def test_labels_outside_the_classes_are_refused(folder: Path) -> None:
    store.write_set("farm", ARRAYS, {**CARD, "classes": ["cat", "dog"]})
    assert "train labels reach outside the 2 classes" in failure()


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_images": ARRAYS["train_images"].astype(np.float32)},
        {"train_images": ARRAYS["train_images"][..., 0]},
        {"train_labels": ARRAYS["train_labels"].astype(np.uint8)},
        {"train_labels": ARRAYS["train_labels"][:5]},
    ],
)
def test_arrays_of_another_kind_are_refused(folder: Path, wrong: Arrays) -> None:
    store.write_set("farm", {**ARRAYS, **wrong}, CARD)
    assert "were expected" in failure()


def test_pickled_arrays_are_refused(folder: Path) -> None:
    store.write_set("farm", {**ARRAYS, "train_images": np.array([{}], dtype=object)}, CARD)
    assert "cannot read" in failure()


@pytest.mark.data
def test_the_real_cifar10() -> None:
    train, test = store.load("cifar10", "train"), store.load("cifar10", "test")
    assert train.x.shape == (50_000, 3, 32, 32)
    assert test.x.shape == (10_000, 3, 32, 32)
    assert train.y.bincount().tolist() == [5_000] * 10
    assert test.y.bincount().tolist() == [1_000] * 10
    assert " ".join(train.classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    # Published channel means of the train images; they would be swapped were the layout misread.
    means = train.x.double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-4)

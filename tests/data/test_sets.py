"""The registry of data sets, and one whose examples are no images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from labkit.commands.data import data
from labkit.data import store
from labkit.data.embedded.registry import EMBEDDED, EmbeddedSet
from labkit.data.images import Images
from labkit.data.sets import DataSet, Divisible
from labkit.data.sources.registry import SOURCES
from labkit.data.sources.source import Source, Stored
from labkit.errors import LabkitError


@dataclass(frozen=True)
class Texts:
    """Texts, each with a label: the least that is a data set."""

    name: str
    texts: tuple[str, ...]
    y: torch.Tensor
    fingerprint: str
    differences: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    def to(self, device: torch.device | str) -> Self:
        return dataclasses.replace(self, y=self.y.to(device))


def texts_of(stored: Stored) -> Texts:
    if stored.arrays.keys() != {"bytes", "ends", "labels"}:
        raise LabkitError(
            f"{stored.name} holds {', '.join(stored.arrays)}: bytes, ends, labels were expected"
        )
    whole, ends = stored.arrays["bytes"].tobytes(), stored.arrays["ends"].tolist()
    texts = tuple(whole[a:b].decode() for a, b in zip([0, *ends], ends, strict=False))
    return Texts(stored.name, texts, torch.from_numpy(stored.arrays["labels"]), stored.fingerprint, "short")


def numbers(split: str, n: int) -> Texts:
    return Texts(f"numbers/{split}", tuple(map(str, range(n))), torch.arange(n) % 2, "e" * 16)


NUMBERS = EmbeddedSet("numbers", "numbers as texts", numbers, (30, 10))


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A set of texts in the registry and in the data folder."""
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    source = dataclasses.replace(
        SOURCES["mnist"], stand_in=NUMBERS, build=texts_of, classes=("bad", "good"), description="opinions"
    )
    monkeypatch.setitem(SOURCES, "reviews", source)
    arrays = {}
    for split, texts in (("train", ["good", "very bad", "ö"]), ("test", ["bad"])):
        parts = [text.encode() for text in texts]
        arrays[f"{split}_bytes"] = np.frombuffer(b"".join(parts), np.uint8)
        arrays[f"{split}_ends"] = np.cumsum([len(part) for part in parts])
        arrays[f"{split}_labels"] = np.array([1, 0, 1][: len(texts)])
    card = {"classes": ["bad", "good"], "source": source.citation, "licence": source.licence}
    store.write_set("reviews", arrays, card)
    return source


def test_images_are_a_data_set_and_have_first_examples(images: Images) -> None:
    assert isinstance(images, DataSet)
    assert isinstance(images, Divisible)
    assert not isinstance(images.x, DataSet)
    texts = numbers("train", 3)
    assert isinstance(texts, DataSet)
    assert not isinstance(texts, Divisible)


def test_every_real_set_has_a_stand_in_of_its_form() -> None:
    colour100 = ((3, 32, 32), 100)
    forms = {"cifar10": ((3, 32, 32), 10)} | dict.fromkeys(
        ("cifar100", "dtd", "tiny_imagenet_val"), colour100
    )
    grey = ((1, 28, 28), 10)
    unlabelled = {"dtd", "tiny_imagenet_val"}  # images of no class: nothing is trained on their labels
    for name, source in SOURCES.items():
        train, test = source.stand_in.splits()
        assert EMBEDDED[source.stand_in.name] is source.stand_in
        assert (len(train), len(test)) == (4_000, 300)
        for part, split in ((train, "train"), (test, "test")):
            assert isinstance(part, Images)
            assert part.name == f"{source.stand_in.name}/{split}"
            assert (tuple(part.x.shape[1:]), len(part.classes)) == forms.get(name, grey)
            assert name in unlabelled or len(part.classes) == len(source.classes)


def test_a_set_that_is_made_is_called_as_the_function_that_makes_it() -> None:
    for name, embedded in EMBEDDED.items():
        assert name == embedded.name == embedded.make.__name__
        assert embedded.make("test", 3).name == f"{name}/test"


def test_a_set_of_texts_is_read_as_its_source_says(reviews: Source) -> None:
    train, test = store.load_any("reviews", "train"), store.load_any("reviews", "test")
    assert isinstance(train, Texts)
    assert (train.texts, train.y.tolist()) == (("good", "very bad", "ö"), [1, 0, 1])
    assert (train.name, test.name, len(test)) == ("reviews/train", "reviews/test", 1)
    assert train.fingerprint == store.fingerprint_of(store.read_card("reviews"), "train") != test.fingerprint
    with pytest.raises(LabkitError, match=r'^reviews has no split "valid"; those it has: train, test$'):
        store.load_any("reviews", "valid")


def test_damage_to_a_set_of_texts_is_found(reviews: Source, tmp_path: Path) -> None:
    path = tmp_path / "reviews.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LabkitError, match=r"reviews\.npz was altered or cut short"):
        store.load_any("reviews", "train")


def test_a_set_of_images_is_read_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    arrays = {"train_images": np.zeros((2, 4, 4, 1), np.uint8), "train_labels": np.array([0, 1])}
    store.write_set("farm", arrays, {"classes": 2})
    one, other = store.load_any("farm", "train"), store.load("farm", "train")
    assert isinstance(one, Images)
    assert (one.name, one.fingerprint, one.classes) == (other.name, other.fingerprint, other.classes)
    assert torch.equal(one.x, other.x)


def test_the_command_tells_of_embedded_sets_and_of_sets_of_texts(reviews: Source) -> None:
    run = CliRunner()
    listed = run.invoke(data, ["list"]).output
    for name in EMBEDDED:
        assert f"\n  {name} " in listed
    assert "grey, 28x28x1, as many as are asked for; stands in for mnist, fashion_mnist, svhn\n" in listed
    assert "train_bytes: uint8 (14,)\n" in listed
    assert run.invoke(data, ["show", "glyphs100"]).output.startswith(
        "glyphs100: embedded, generated, no file:"
    )
    assert run.invoke(data, ["show", "reviews"]).exit_code == 0

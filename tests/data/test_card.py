"""Cards of data sets: every damage to one that labkit wrote is noticed, and most to those of other tools."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from ran import NEEDS_SETS

from labkit.commands.data import data
from labkit.data import card as cards
from labkit.data import store
from labkit.data.sources.registry import SOURCES
from labkit.errors import LabkitError
from labkit.paths import data_folder

CARD = {"classes": ["cat", "dog", "cow"], "licence": "free", "differences": "smaller", "source": "us, 2020"}
# Cards as the tools of others write them beside their copies.
OTHERS: dict[str, dict[str, Any]] = {
    "mnist": {
        "name": "mnist",
        "classes": [str(digit) for digit in range(10)],
        "source": "LeCun et al. 1998",
        "licence": "none stated; cite LeCun et al. 1998",
        "differences": "",
    },
    "fashion_mnist": {
        "name": "fashion_mnist",
        "classes": [
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ],
        "source": "Xiao et al. 2017",
        "licence": "MIT",
        "differences": "",
    },
    "cifar10": {
        "name": "cifar10",
        "classes": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        "source": "Krizhevsky 2009, original order",
        "licence": "none stated; cite the report",
        "differences": "2 of 50000 train images are JPEG (quality 75) copies, all others pixel-exact",
        "lossy": {"note": "indices", "train": [4298, 5949], "test": []},
    },
    "cifar100": {
        "name": "cifar100",
        "classes": 100,
        "source": "Krizhevsky 2009",
        "licence": "none stated; cite the report",
        "differences": "only the first 10000 of 50000 train images",
    },
}
ARRAYS = {
    "train_images": np.zeros((3, 2, 2, 1), np.uint8),
    "train_labels": np.array([0, 1, 2]),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, fields: object, npz: bytes = b"an npz") -> bytes:
    """Write a card as others do, beside the file it was made for; return the card."""
    if isinstance(fields, dict):
        fields = {**fields, "sha256": hashlib.sha256(npz).hexdigest()} | fields
    card = json.dumps(fields, indent=1).encode()
    (folder / f"{name}.npz").write_bytes(npz)
    (folder / f"{name}.json").write_bytes(card)
    return card


def refusal(name: str) -> str:
    """The line with which the card of `name` is refused, by the list as well."""
    with pytest.raises(LabkitError) as caught:
        store.check(name)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    listed = CliRunner().invoke(data, ["list"])
    assert listed.exit_code == 0
    [line] = [line for line in listed.output.splitlines() if line.startswith(f"  {name} ")]
    assert "damaged: " in line
    return message


def flips(content: bytes) -> list[bytes]:
    """All contents that differ from `content` in one bit."""
    return [
        content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        for at in range(len(content))
        for bit in range(8)
    ]


def unnoticed(name: str, content: bytes) -> list[store.Card]:
    """What is read from `content` with one bit flipped; what the npz beside it would not pass is left out."""
    taken = []
    for flipped in flips(content):
        with contextlib.suppress(LabkitError):
            taken.append(cards.read(name, flipped))
    sha256 = json.loads(content)["sha256"]
    return [card for card in taken if card.sha256 == sha256]


def test_every_bit_of_a_card_that_labkit_wrote_is_covered(folder: Path) -> None:
    store.write_set("farm", ARRAYS, {**CARD, "lossy": [1, 2], "note": "grün"})
    store.check("farm")
    assert unnoticed("farm", (folder / "farm.json").read_bytes()) == []


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_every_bit_of_a_fetched_card_is_covered(folder: Path, name: str) -> None:
    source = SOURCES[name]
    fields = {"classes": list(source.classes), "source": source.citation, "licence": source.licence}
    store.write_set(name, ARRAYS, fields)
    assert unnoticed(name, (folder / f"{name}.json").read_bytes()) == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_flip_in_the_card_of_a_known_set_changes_nothing_but_differences(folder: Path, name: str) -> None:
    content = put(folder, name, OTHERS[name])
    true = store.read_card(name)
    taken = unnoticed(name, content)
    for card in taken:
        assert dataclasses.replace(card, differences=true.differences) == true
    assert (taken == []) is (true.differences == "")


def test_every_bit_of_the_card_of_a_copy_that_the_book_used_is_covered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = put(folder, "cifar10", OTHERS["cifar10"])
    assert unnoticed("cifar10", content) != []
    fields = json.loads(content)
    source = dataclasses.replace(SOURCES["cifar10"], copies={fields["sha256"]: cards.checksum_of(fields)})
    monkeypatch.setitem(SOURCES, "cifar10", source)  # type: ignore[arg-type]
    store.check("cifar10")
    assert unnoticed("cifar10", content) == []


@pytest.mark.parametrize("name", OTHERS)
def test_cards_that_others_write_are_read(folder: Path, name: str) -> None:
    put(folder, name, OTHERS[name])
    store.check(name)
    card = store.read_card(name)
    classes = OTHERS[name]["classes"]
    assert list(card.classes) == (classes if isinstance(classes, list) else [str(i) for i in range(100)])
    assert (card.source, card.licence) == (OTHERS[name]["source"], OTHERS[name]["licence"])


@pytest.mark.parametrize("name", OTHERS)
def test_a_card_in_the_words_of_the_registry_is_read(folder: Path, name: str) -> None:
    source = SOURCES[name]
    fields = {"classes": list(source.classes), "source": source.citation, "licence": source.licence}
    put(folder, name, {**fields, "differences": "none that I know of"})
    store.check(name)
    assert store.read_card(name).classes == source.classes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", 101),
        ("classes", 10),
        ("classes", [str(i) for i in range(100)]),
        ("source", "Krizhevsky 2019"),
        ("licence", "MIT"),
        ("name", "cifar10"),
        ("lossx", []),
    ],
)
def test_what_contradicts_the_registry_is_named(folder: Path, field: str, value: object) -> None:
    put(folder, "cifar100", {**OTHERS["cifar100"], field: value})
    assert field in refusal("cifar100")


@pytest.mark.parametrize("field", ["classes", "source", "licence", "differences", "sha256"])
def test_a_card_without_checksum_has_every_field(folder: Path, field: str) -> None:
    put(folder, "farm", CARD)
    store.check("farm")
    fields = json.loads((folder / "farm.json").read_text())
    del fields[field]
    (folder / "farm.json").write_text(json.dumps(fields))
    assert field in refusal("farm")


WRONG: dict[str, Callable[[], object]] = {
    "classes, too many": lambda: {**CARD, "classes": 10**9},
    "classes, a huge number": lambda: {**CARD, "classes": 10**4000},
    "classes, true": lambda: {**CARD, "classes": True},
    "classes, none": lambda: {**CARD, "classes": 0},
    "classes, negative": lambda: {**CARD, "classes": -3},
    "classes, a fraction": lambda: {**CARD, "classes": 3.0},
    "classes, a text": lambda: {**CARD, "classes": "cat"},
    "classes, an empty list": lambda: {**CARD, "classes": []},
    "classes, numbers": lambda: {**CARD, "classes": [1, 2, 3]},
    "classes, nested": lambda: {**CARD, "classes": [["cat"], "dog", "cow"]},
    "classes, a dictionary": lambda: {**CARD, "classes": {"cat": 1}},
    "classes, a control character": lambda: {**CARD, "classes": ["cat", "\x1b[31mdog", "cow"]},
    "classes, one without a name": lambda: {**CARD, "classes": ["cat", "", "cow"]},
    "classes, a long name": lambda: {**CARD, "classes": ["cat", "d" * 10**6, "cow"]},
    "source, two lines": lambda: {**CARD, "source": "us\nthem"},
    "source, a number": lambda: {**CARD, "source": 2020},
    "licence, null": lambda: {**CARD, "licence": None},
    "licence, a list": lambda: {**CARD, "licence": ["MIT"]},
    "licence, without end": lambda: {**CARD, "licence": "M" * 10**6},
    "differences, a control character": lambda: {**CARD, "differences": "\x9b2J"},
    "sha256, a number": lambda: {**CARD, "sha256": 7},
    "sha256, short": lambda: {**CARD, "sha256": "abc"},
    "sha256, large letters": lambda: {**CARD, "sha256": "AB" * 32},
    "name, another": lambda: {**CARD, "name": "barn"},
    "a list": lambda: [CARD],
    "a text": lambda: "card",
    "null": lambda: None,
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_field_of_the_wrong_kind_is_named(folder: Path, kind: str) -> None:
    put(folder, "farm", WRONG[kind]())
    message = refusal("farm")
    assert "farm.json is not the card of a data set" in message
    if ", " in kind:
        assert kind.split(",")[0] in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf{}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"classes": ' + b"9" * 100_000 + b"}",
        bytes(100),
    ],
    ids=["empty", "open", "utf-16", "mark", "deep list", "deep object", "long number", "zeros"],
)
def test_what_is_no_json_costs_one_line(folder: Path, content: bytes) -> None:
    put(folder, "farm", CARD)
    (folder / "farm.json").write_bytes(content)
    assert "farm.json is not the card of a data set" in refusal("farm")


def test_a_card_of_many_megabytes_is_not_read(folder: Path) -> None:
    card = put(folder, "farm", CARD)
    (folder / "farm.json").write_bytes(card + b" " * 10_000_000)
    assert "it is longer than 10,000,000 bytes" in refusal("farm")


def test_a_card_that_could_not_be_read_is_not_written(folder: Path) -> None:
    with pytest.raises(LabkitError, match="licence must be"):
        store.write_set("farm", ARRAYS, {**CARD, "licence": "two\nlines"})
    assert list(folder.iterdir()) == []


def test_what_a_card_leaves_open_is_said(folder: Path) -> None:
    store.write_set("farm", ARRAYS, {"classes": 3})
    card = store.read_card("farm")
    assert (card.source, card.licence, card.differences) == ("not stated", "not stated", "")


@pytest.mark.parametrize("name", SOURCES)
def test_the_real_sets_are_taken(name: str) -> None:
    if name not in store.available():
        pytest.skip(NEEDS_SETS)
    assert len(store.load(name, "test")) == {"tiny_imagenet_val": 5_000}.get(name, 10_000)
    true = store.read_card(name)
    taken = unnoticed(name, (data_folder() / f"{name}.json").read_bytes())
    for card in taken:
        assert dataclasses.replace(card, differences=true.differences) == true
    assert taken == [] or true.sha256 not in SOURCES[name].copies

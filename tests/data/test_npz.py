"""Crafted npz files whose card agrees: one line each, nothing unpickled, no memory beyond the file's size."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from labkit.commands.data import data
from labkit.data import store
from labkit.errors import LabkitError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 1])
ENDLESS = 1 << 24  # bytes a file of a few kB may take to be refused


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return tmp_path


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def head(text: str, version: int = 1, length: int | None = None, content: bytes = b"") -> bytes:
    """An npy file whose head says `text`, and how long the head is."""
    said = len(text) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", said)
        + (text.encode() + content)
    )


def array_head(shape: str, descr: str = "|u1") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return file.getvalue()


def put(folder: Path, content: bytes) -> None:
    """Write the set `farm` with this npz and a card that agrees."""
    (folder / "farm.npz").write_bytes(content)
    card: dict[str, Any] = {"classes": 3, "source": "us", "licence": "free", "differences": ""}
    (folder / "farm.json").write_text(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))


def with_images(images: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    return archive({"train_images.npy": images, "train_labels.npy": npy(LABELS)}, method)


def changed(content: bytes, local: int, central: int, field: bytes) -> bytes:
    """Put `field` at these places of the first member's local and central head."""
    edited = bytearray(content)
    for signature, place in ((b"PK\3\4", local), (b"PK\1\2", central)):
        at = edited.index(signature) + place
        edited[at : at + len(field)] = field
    return bytes(edited)


class Malice:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["LABKIT_DATA"] + "/trace",)


PLAIN = with_images(npy(IMAGES))
CRAFTED: dict[str, Callable[[], bytes]] = {
    "method 99": lambda: changed(PLAIN, 8, 10, struct.pack("<H", 99)),
    "bzip2": lambda: with_images(npy(IMAGES), zipfile.ZIP_BZIP2),
    "encrypted": lambda: changed(PLAIN, 6, 8, struct.pack("<H", 1)),
    "a larger size is told": lambda: changed(PLAIN, 18, 20, struct.pack("<II", 1 << 31, 1 << 31)),
    "bomb of zeros": lambda: with_images(
        head(array_head(f"({1 << 16}, 32, 32, 1)"), content=bytes(1 << 26)), zipfile.ZIP_DEFLATED
    ),
    "objects": lambda: with_images(npy(np.array([{}], dtype=object))),
    "a pickle": lambda: with_images(pickle.dumps(Malice())),
    "a pickle under a head": lambda: with_images(
        head(array_head("(1,)", "|O"), content=pickle.dumps(Malice()))
    ),
    "a pickle as object": lambda: with_images(npy(np.array([Malice()], dtype=object))),
    "a head of 4 GB": lambda: with_images(head(array_head("(6, 5, 4, 3)"), 2, 0xFFFFFFFF)),
    "a long head": lambda: with_images(head(array_head("(6, 5, 4, 3)") + " " * (1 << 22), 2)),
    "a deep head": lambda: with_images(head("(" * 9_000)),
    "an open head": lambda: with_images(head("{'descr': ('|u1'")),
    "code in the head": lambda: with_images(head("__import__('os').mkdir('trace')")),
    "more images than bytes": lambda: with_images(head(array_head("(1000000000000, 32, 32, 3)"))),
    "a number too long": lambda: with_images(head(array_head(f"({'9' * 9000},)"))),
    "negative": lambda: with_images(head(array_head("(-6, -5, 4, 3)"), content=IMAGES.tobytes())),
    "no axis": lambda: with_images(npy(np.array(7, dtype=np.uint8))),
    "two thousand axes": lambda: with_images(head(array_head(f"({'1, ' * 2000})"), content=b"\0")),
    "version 9": lambda: with_images(b"\x93NUMPY\x09\x00" + npy(IMAGES)[8:]),
    "empty member": lambda: with_images(b""),
    "cut member": lambda: with_images(npy(IMAGES)[:-9]),
    "no images": lambda: archive({"train_labels.npy": npy(LABELS)}),
    "no zip": lambda: b"PK\3\4" + bytes(100),
    "a zip of nothing": lambda: archive({}),
    "its end alone": lambda: b"PK\5\6" + b"\xff" * 18,
    "two axes of labels": lambda: archive(
        {"train_images.npy": npy(IMAGES), "train_labels.npy": npy(np.zeros((6, 2), np.int64))}
    ),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_file_costs_one_line(folder: Path, kind: str) -> None:
    put(folder, CRAFTED[kind]())
    tracemalloc.start()
    try:
        with pytest.raises(LabkitError) as caught:
            store.load("farm", "train")
        result = CliRunner().invoke(data, ["list"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    assert "farm" in message
    assert result.exit_code == 0, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("  farm ")]
    assert line.isprintable()
    assert peak < ENDLESS
    assert sorted(path.name for path in folder.iterdir()) == ["farm.json", "farm.npz"]


def test_the_crafted_pickle_would_do_harm(folder: Path) -> None:
    pickle.loads(pickle.dumps(Malice()))
    assert (folder / "trace").is_dir()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_valid_form_is_read(folder: Path, version: tuple[int, int], method: int, order: Any) -> None:
    images = npy(np.asarray(IMAGES, order=order), version)
    put(folder, archive({"train_images.npy": images, "train_labels.npy": npy(LABELS, version)}, method))
    train = store.load("farm", "train")
    np.testing.assert_array_equal(train.x.permute(0, 2, 3, 1).numpy(), IMAGES)
    assert train.y.tolist() == LABELS.tolist()
    assert store.splits("farm") == {"train": IMAGES.shape}
    assert "train: 6 images 5x4x3" in CliRunner().invoke(data, ["list"]).output


def test_the_name_of_an_array_cannot_steer_the_terminal(folder: Path) -> None:
    members = {"train_images.npy": npy(IMAGES), "train_labels.npy": npy(LABELS)}
    put(folder, archive({**members, "\x1b[2J\n_images.npy": npy(IMAGES)}))
    assert store.splits("farm") == {"train": IMAGES.shape}

"""Fetching against a server that is slow, lies, breaks off or is not there."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from evil_server import CLASSES, cifar_archive, serving

from labkit.commands.data import data
from labkit.data import store
from labkit.data.fetch import Patience, fetch
from labkit.data.sources.registry import SOURCES
from labkit.data.sources.source import PublishedFile
from labkit.errors import LabkitError

HASTY = Patience(timeout=1.5, min_speed=2_000, window=0.2, attempts=3, backoff=0.01)
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = [(7 * i) % 10 for i in range(24)]
ARCHIVE = cifar_archive(IMAGES, LABELS)
NAME = "cifar-10-python.tar.gz"
# Only their authors offer the original files.
ONE_SERVER = {"svhn", "tiny_imagenet_val"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let `cifar10` be the small archive, to be had from these addresses."""

    def publish(*mirrors: str, archive: bytes = ARCHIVE, **changes: Any) -> None:
        file = PublishedFile(NAME, hashlib.sha256(archive).hexdigest(), len(archive))
        source = dataclasses.replace(SOURCES["cifar10"], mirrors=mirrors, files=(file,), **changes)
        monkeypatch.setitem(SOURCES, "cifar10", source)  # type: ignore[arg-type]

    return publish


def files(folder: Path) -> list[str]:
    """Names of all files under `folder` but the lock."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def failure(*mirrors: str) -> str:
    """The message with which fetching fails: one line."""
    with pytest.raises(LabkitError) as caught:
        fetch("cifar10", mirrors, HASTY)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_fetched_set_holds_the_published_images(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "good") as server:
        publish(server.address)
        assert fetch("cifar10", patience=HASTY) == folder / "cifar10.npz"
        fetch("cifar10", patience=HASTY)
        assert len(server.ranges) == 1, "what is there must not be fetched again"
    train, test = store.load("cifar10", "train"), store.load("cifar10", "test")
    np.testing.assert_array_equal(train.x.permute(0, 2, 3, 1).numpy(), IMAGES[:20])
    np.testing.assert_array_equal(test.x.permute(0, 2, 3, 1).numpy(), IMAGES[20:])
    assert train.y.tolist() + test.y.tolist() == LABELS
    assert train.classes == tuple(CLASSES)
    assert train.differences == ""
    assert files(folder) == ["cifar10.json", "cifar10.npz"]


def test_a_broken_transfer_goes_on_where_it_stopped(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "drop", "drop", "good") as server:
        publish(server.address)
        fetch("cifar10", patience=HASTY)
        half = len(ARCHIVE) // 2
        assert server.ranges == [None, f"bytes={half}-", f"bytes={half + (len(ARCHIVE) - half) // 2}-"]
        assert server.sent == len(ARCHIVE)


def test_another_call_and_another_server_go_on_too(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "drop") as first, serving(ARCHIVE, "good") as second:
        publish(first.address)
        assert "broke off after" in failure()
        assert files(folder) == [f"{NAME}.part"]
        there = (folder / "cifar10.download" / f"{NAME}.part").stat().st_size
        publish(second.address)
        fetch("cifar10", patience=HASTY)
        assert second.ranges == [f"bytes={there}-"]
        assert first.sent + second.sent == len(ARCHIVE)


def test_a_server_without_ranges_starts_over(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "drop", "no range") as server:
        publish(server.address)
        fetch("cifar10", patience=HASTY)
        assert server.ranges == [None, f"bytes={len(ARCHIVE) // 2}-"]
    assert len(store.load("cifar10", "train")) == 20


@pytest.mark.parametrize(
    "manner",
    [
        *("altered", "short", "longer", "missing", "garbled"),
        *("stall", "trickle", "slow head", "continue", "slow chunk"),
    ],
)
def test_the_next_server_is_tried_at_once(folder: Path, publish: Callable[..., None], manner: str) -> None:
    with serving(ARCHIVE, manner) as bad, serving(ARCHIVE, "good") as good:
        publish(bad.address, good.address)
        began = time.monotonic()
        fetch("cifar10", patience=HASTY)
        assert time.monotonic() - began < 4
        assert (len(bad.ranges), len(good.ranges)) == (1, 1)
    assert len(store.load("cifar10", "train")) == 20


def test_who_does_not_answer_in_time_is_told_of(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "slow head") as first, serving(ARCHIVE, "continue") as second:
        publish(first.address, second.address)
        threads = threading.active_count()
        assert failure().count("sent nothing of the file for 1.5 s") == 2
        time.sleep(0.2)
        assert threading.active_count() <= threads + 2, "only the server's own threads may go on"


def test_the_page_of_a_redirect_is_not_read(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "moved", "good") as server:
        publish(server.address)
        began = time.monotonic()
        fetch("cifar10", patience=HASTY)
        assert time.monotonic() - began < 4
        assert server.sent < len(ARCHIVE) + (20 << 20), "what is not read may fill buffers only"
    assert len(store.load("cifar10", "train")) == 20


def test_what_a_server_says_cannot_steer_the_terminal(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "coloured") as server:
        publish(server.address)
        message = failure()
    assert message.isprintable()
    assert f"{server.address[7:]} answered 503 ]0;owned[31mred2J!!!" in message
    assert "!" * 60 not in message


def test_a_busy_server_is_asked_again(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "busy", "busy", "good") as server:
        publish(server.address)
        fetch("cifar10", patience=HASTY)
        assert len(server.ranges) == 3


def test_altered_bytes_are_never_opened(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "altered") as server:
        publish(server.address, read=lambda files: pytest.fail("opened a file with a wrong checksum"))
        assert "wrong checksum" in failure()
    assert files(folder) == []


def test_an_altered_beginning_does_not_spoil_a_good_server(
    folder: Path, publish: Callable[..., None]
) -> None:
    part = folder / "cifar10.download" / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"not the beginning of the archive")
    with serving(ARCHIVE, "good") as server:
        publish(server.address)
        fetch("cifar10", patience=HASTY)
        assert server.ranges == ["bytes=32-", None]


def test_a_part_that_is_too_long_is_dropped(folder: Path, publish: Callable[..., None]) -> None:
    part = folder / "cifar10.download" / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(ARCHIVE + b"!")
    with serving(ARCHIVE, "good") as server:
        publish(server.address)
        fetch("cifar10", patience=HASTY)
        assert server.ranges == [None]


def test_a_failure_names_every_server(folder: Path, publish: Callable[..., None]) -> None:
    nobody = unused_address()
    with serving(ARCHIVE, "missing") as first, serving(ARCHIVE, "busy") as second:
        publish(first.address, second.address)
        message = failure(nobody)
    assert message.startswith(
        f"cannot fetch cifar10: {nobody[7:]} cannot be reached; {first.address[7:]} answered 404 Not Found; "
        f"{second.address[7:]} answered 503 Service Unavailable."
    )
    assert files(folder) == []


def test_a_damaged_set_is_fetched_again(folder: Path, publish: Callable[..., None]) -> None:
    with serving(ARCHIVE, "good") as server:
        publish(server.address)
        npz = fetch("cifar10", patience=HASTY)
        good = npz.read_bytes()
        npz.write_bytes(good[:-1000])
        fetch("cifar10", patience=HASTY)
    assert npz.read_bytes() == good


def test_an_unknown_set_is_refused(folder: Path) -> None:
    with pytest.raises(LabkitError, match='"cifar11" cannot be fetched; these can: cifar10, '):
        fetch("cifar11")


def test_a_full_disk_during_the_download(
    folder: Path, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    class Full:
        def __init__(self, path: Path, mode: str) -> None:
            self.file = opened(path, mode)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *exc: object) -> None:
            self.file.close()

        def write(self, chunk: bytes) -> None:
            self.file.write(chunk[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open_on_full_disk(path: Path, mode: str = "r", **options: Any) -> Any:
        return Full(path, mode) if path.suffix == ".part" else opened(path, mode, **options)

    with serving(ARCHIVE, "good") as server:
        publish(server.address)
        monkeypatch.setattr(Path, "open", open_on_full_disk)
        message = failure()
    assert message.startswith("cannot fetch cifar10 into")
    assert os.strerror(errno.ENOSPC) in message
    assert files(folder) == []


def test_a_full_disk_at_the_end_keeps_the_download(
    folder: Path, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with serving(ARCHIVE, "good") as server:
        publish(server.address)
        with monkeypatch.context() as disk:
            disk.setattr(os, "fsync", full)
            assert os.strerror(errno.ENOSPC) in failure()
        assert files(folder) == [NAME]
        fetch("cifar10", patience=HASTY)
        assert len(server.ranges) == 1


class Malice:
    """Unpickled without care, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused(folder: Path, publish: Callable[..., None], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    evil = pickle.dumps({"data": Malice(trace)}, protocol=2)
    pickle.loads(evil)
    assert trace.exists(), "the pickle must be harmful for this test to mean anything"
    trace.rmdir()
    archive = cifar_archive(IMAGES, LABELS, evil_batch=evil)
    with serving(archive, "good") as server:
        publish(server.address, archive=archive)
        assert failure().startswith("refused to unpickle ")
    assert not trace.exists()
    assert not (folder / "cifar10.npz").exists()


PROCESS = """
import dataclasses, pathlib, sys, time
from labkit.data.fetch import fetch
from labkit.data.sources.registry import SOURCES
from labkit.data.sources.source import PublishedFile
address, sha256, size, barrier, me = sys.argv[1:]
file = PublishedFile("cifar-10-python.tar.gz", sha256, int(size))
SOURCES["cifar10"] = dataclasses.replace(SOURCES["cifar10"], mirrors=(address,), files=(file,))
(pathlib.Path(barrier) / me).touch()
while len(list(pathlib.Path(barrier).iterdir())) < 2:
    time.sleep(0.01)
fetch("cifar10")
"""


def test_of_two_processes_one_fetches(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    barrier = str(tmp_path_factory.mktemp("barrier"))
    with serving(ARCHIVE, "hesitant") as server:
        what = [server.address, hashlib.sha256(ARCHIVE).hexdigest(), str(len(ARCHIVE)), barrier]
        command = [sys.executable, "-c", PROCESS, *what]
        processes = [
            subprocess.Popen([*command, me], stderr=subprocess.PIPE, text=True) for me in ("one", "two")
        ]
        ends = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], ends
        assert len(server.ranges) == 1
    assert len(store.load("cifar10", "test")) == 4


def test_mnist_files_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shapes = {
        "train_images": (5, 28, 28),
        "train_labels": (5,),
        "test_images": (3, 28, 28),
        "test_labels": (3,),
    }
    paths = []
    arrays = {}
    for name, shape in shapes.items():
        arrays[name] = rng.integers(0, 10, shape, dtype=np.uint8)
        head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        paths.append(tmp_path / f"{name}.gz")
        paths[-1].write_bytes(gzip.compress(head + arrays[name].tobytes()))
    read = SOURCES["fashion_mnist"].read(paths)
    for split in ("train", "test"):
        np.testing.assert_array_equal(read[f"{split}_images"][..., 0], arrays[f"{split}_images"])
        np.testing.assert_array_equal(read[f"{split}_labels"], arrays[f"{split}_labels"])
        assert read[f"{split}_labels"].dtype == np.int64
    paths[0].write_bytes(gzip.compress(b"\0\0\x0d\x01" + bytes(8)))
    with pytest.raises(LabkitError, match="not an IDX file"):
        SOURCES["mnist"].read(paths)


def test_every_source_but_two_has_two_servers_and_all_have_whole_checksums() -> None:
    servers = {name: {mirror.split("/")[2] for mirror in source.mirrors} for name, source in SOURCES.items()}
    assert {name for name, at in servers.items() if len(at) < 2} == ONE_SERVER
    for name, source in SOURCES.items():
        assert all(len(bytes.fromhex(file.sha256)) == 32 and file.size > 0 for file in source.files), name


def test_the_command_fetches_and_lists(folder: Path, publish: Callable[..., None]) -> None:
    run = CliRunner()
    with serving(ARCHIVE, "good") as server:
        publish(unused_address())
        bad = run.invoke(data, ["fetch", "cifar10"])
        assert bad.exit_code == 1
        assert bad.output.splitlines()[-1].startswith("Error: cannot fetch cifar10: 127.0.0.1:")
        assert "Traceback" not in bad.output
        good = run.invoke(data, ["fetch", "cifar10", "--mirror", server.address])
        assert (good.exit_code, len(server.ranges)) == (0, 1), good.output
    listed = run.invoke(data, []).output
    assert listed == run.invoke(data, ["list"]).output
    assert "glyphs" in listed
    assert "embedded, generated, no file" in listed
    assert f"train: 20 images 32x32x3, fingerprint {store.load('cifar10', 'train').fingerprint}" in listed
    here, absent = listed.split("Not there")
    assert "cifar10 " in here
    assert "mnist " in absent
    assert "cifar10 " not in absent
    shown = run.invoke(data, ["show", "cifar10"]).output
    assert "checksum right" in shown
    assert "airplane, automobile" in shown
    (folder / "cifar10.npz").write_bytes(b"damaged")
    assert "damaged: cannot read" in run.invoke(data, ["list"]).output
    assert "was altered or cut short" in run.invoke(data, ["show", "cifar10"]).output
    assert run.invoke(data, ["show", "nothing"]).exit_code == 1

"""Fetching public weights: from a server that may lie, out of files of the published formats."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from evil_server import serving
from safetensors.torch import load_file
from torch import Tensor

from labkit.commands.data import data
from labkit.data import weights as registry
from labkit.data.fetch import Patience
from labkit.data.fetch_weights import fetch_weights
from labkit.data.published_weights import keras, state_dict
from labkit.data.weights import WEIGHTS, Publisher, Weights, Work
from labkit.errors import LabkitError
from labkit.models.networks import NETWORKS
from labkit.models.pretrained import digest, pretrained

HASTY = Patience(timeout=1.5, min_speed=2_000, window=0.2, attempts=3, backoff=0.01)
NAME = "mnist_kw"
WORK = Work("a2000b", "A: B, C, 2000")
LICENSED = Publisher("someone/something", "0" * 40, "MIT")
TENSORS = {
    f"{layer}.{part}": torch.arange(float(n)).reshape(shape)
    for layer, part, n, shape in (("0", "weight", 6, (3, 2)), ("0", "bias", 3, (3,)))
}
Publish = Callable[..., Weights]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return tmp_path / "weights"


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Let these bytes be the published file of `mnist_kw`, which is in a folder of its repository."""

    def publish(content: bytes, **changes: Any) -> Weights:
        sha256, size = hashlib.sha256(content).hexdigest(), len(content)
        weights = Weights(LICENSED, "a folder/mnist.pth", sha256, size, "A network", (WORK,), 1.0)
        weights = dataclasses.replace(weights, **changes)
        monkeypatch.setitem(WEIGHTS, NAME, weights)  # type: ignore[arg-type]
        return weights

    return publish


def saved(content: Any, *, zipped: bool = True) -> bytes:
    """What `torch.save` writes, as it does now or as it did before PyTorch 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def failure(*mirrors: str) -> str:
    """The message with which fetching fails: one line."""
    with pytest.raises(LabkitError) as caught:
        fetch_weights(NAME, mirrors, HASTY)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files(folder: Path) -> list[str]:
    """Names of all files under `folder` but the lock."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


FORMS = {
    "bare": TENSORS,
    "in a checkpoint": {"epoch": 3, "state_dict": TENSORS, "optimizer": {"state": {7: TENSORS}, "lr": 0.1}},
    "parallel": {"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}},
    "a list": {"state_dict": [TENSORS, {"other": torch.ones(1)}], "err": 0.2},
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_is_read(folder: Path, publish: Publish, form: str, zipped: bool) -> None:
    content = saved(FORMS[form], zipped=zipped)
    publish(content)
    with serving(content, "good") as server:
        path = fetch_weights(NAME, [server.address], HASTY)
        assert path == folder / f"{NAME}.safetensors"
        assert same(load_file(path), TENSORS)
        assert fetch_weights(NAME, [server.address], HASTY) == path
        assert len(server.ranges) == 1, "what is there must not be fetched again"
    assert files(folder) == [f"{NAME}.safetensors"]


def test_what_was_fetched_is_what_is_loaded(
    folder: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = NETWORKS[NAME].build()
    tensors = dict(model.state_dict())
    network = dataclasses.replace(NETWORKS[NAME], digest=digest(tensors))
    monkeypatch.setitem(NETWORKS, NAME, network)  # type: ignore[arg-type]
    content = saved(tensors)
    publish(content)
    with serving(content, "good") as server:
        fetch_weights(NAME, [server.address], HASTY)
    x = torch.rand(2, 1, 28, 28)
    assert torch.allclose(pretrained(NAME)(255 * x), model(x), atol=1e-6)


def test_the_address_is_that_of_the_commit(folder: Path, publish: Publish) -> None:
    weights = publish(b"")
    assert weights.address == (
        f"https://raw.githubusercontent.com/someone/something/{'0' * 40}/a%20folder/mnist.pth"
    )


def test_a_broken_transfer_goes_on(folder: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(TENSORS)
    publish(content)
    with serving(content, "drop", "good") as server:
        monkeypatch.setattr(registry, "SERVER", server.address)
        fetch_weights(NAME, patience=HASTY)
        assert server.ranges == [None, f"bytes={len(content) // 2}-"]


@pytest.mark.parametrize(
    ("manner", "said"), [("altered", "wrong checksum"), ("short", "were expected"), ("missing", "404")]
)
def test_only_the_published_bytes_are_opened(
    folder: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, manner: str, said: str
) -> None:
    content = saved(TENSORS)
    publish(content, read=lambda file: pytest.fail("opened a wrong file"))
    with serving(content, manner) as server:
        monkeypatch.setattr(registry, "SERVER", server.address)
        assert said in failure()
    assert files(folder) == []


class Malice:
    """Unpickled without care, it creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_not_run(folder: Path, publish: Publish, tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "trace"
    content = saved({"state_dict": TENSORS, "more": Malice(trace)}, zipped=zipped)
    torch.load(io.BytesIO(content), weights_only=False)
    assert trace.exists(), "the pickle must be harmful for this test to mean anything"
    trace.rmdir()
    publish(content)
    with serving(content, "good") as server:
        assert failure(server.address) == "mnist.pth does not hold weights alone, and is not opened"
    assert not trace.exists()
    assert f"{NAME}.safetensors" not in files(folder)


UNREADABLE = {
    "a truncated archive": saved(TENSORS)[:-200],
    "a truncated pickle": saved(TENSORS, zipped=False)[:-5],
    "nothing": b"",
    "a text": b"<html>Not found</html>",
    "a plain pickle": pickle.dumps([1, 2], protocol=2),
    "a number": saved(3),
    "numbers": saved({"a": 1, "b": 2.0}),
    "an empty list": saved({"state_dict": []}),
    "a tensor": saved(torch.ones(2)),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_files_without_a_state_dict_are_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(UNREADABLE[what])
    with pytest.raises(LabkitError, match=r"^file\.pth (holds no state dict|does not hold weights alone)"):
        state_dict(path)


def test_a_truncated_conversion_is_made_again(folder: Path, publish: Publish) -> None:
    content = saved(TENSORS)
    publish(content)
    with serving(content, "good") as server:
        path = fetch_weights(NAME, [server.address], HASTY)
        good = path.read_bytes()
        path.write_bytes(good[:-7])
        fetch_weights(NAME, [server.address], HASTY)
    assert path.read_bytes() == good


def test_without_a_licence_nothing_is_downloaded(folder: Path, publish: Publish) -> None:
    content = saved(TENSORS)
    weights = publish(content, publisher=dataclasses.replace(LICENSED, licence=""))
    given = folder / f"{NAME}-mnist.pth"
    with serving(content, "good") as server:
        assert failure(server.address) == (
            f"no licence is stated for {NAME}, so it is not downloaded: if you may use it, save "
            f"{weights.address} as {given}, and run this again"
        )
        assert not folder.exists()
        folder.mkdir()
        given.write_bytes(content[:-1])
        assert failure(server.address).startswith(f"{given} is not the published file: its sha256 is not")
        given.write_bytes(content)
        assert same(load_file(fetch_weights(NAME, [server.address], HASTY)), TENSORS)
        assert server.ranges == []
    assert files(folder) == [f"{NAME}-mnist.pth", f"{NAME}.safetensors"], "what the user put there stays"


def test_a_pickled_module_is_pointed_at(folder: Path, publish: Publish) -> None:
    weights = publish(b"a module", read=None)
    assert failure().startswith(f"{NAME} is a pickled module, which cannot be opened without running what is")
    assert weights.address in failure()
    assert str(folder / f"{NAME}.safetensors") in failure()
    assert not folder.exists()


def keras_file(path: Path) -> dict[str, np.ndarray]:
    """Write a model file of Keras 2: weights in a group for each layer, an optimizer's beside them."""
    rng = np.random.default_rng(0)
    arrays = {
        "conv2d/conv2d/kernel:0": rng.random((3, 3, 2, 4), np.float32),
        "conv2d/conv2d/bias:0": rng.random(4, np.float32),
        "batch_normalization/batch_normalization/gamma:0": rng.random(4, np.float32),
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.3.0"
        for name, array in arrays.items():
            file.create_dataset(f"model_weights/{name}", data=array)
        file.create_group("model_weights/flatten")
        file.create_dataset("optimizer_weights/Adam/conv2d/kernel/m:0", data=np.ones(3))
    return arrays


def test_weights_of_keras_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    arrays = keras_file(path)
    tensors = keras(path)
    assert set(tensors) == {"conv2d.kernel", "conv2d.bias", "batch_normalization.gamma"}
    np.testing.assert_array_equal(tensors["conv2d.kernel"].numpy(), arrays["conv2d/conv2d/kernel:0"])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(LabkitError, match=r"model\.h5 does not hold weights of Keras"):
        keras(path)
    h5py.File(path, "w").close()
    with pytest.raises(LabkitError, match=r"model\.h5 does not hold weights of Keras"):
        keras(path)


def test_without_h5py_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(LabkitError, match=r"read with h5py: install labkit\[keras\]"):
        keras(tmp_path / "model.h5")


def test_every_network_has_its_source_and_the_other_way_round() -> None:
    assert list(WEIGHTS) == list(NETWORKS)
    for name, weights in WEIGHTS.items():
        assert len(bytes.fromhex(weights.sha256)) == len(bytes.fromhex(NETWORKS[name].digest)) == 32, name
        assert len(bytes.fromhex(weights.publisher.commit)) == 20, name
        assert weights.size > 0, name
        assert 0 < weights.measured < 100, name


def test_the_command_fetches_lists_and_shows(folder: Path, publish: Publish) -> None:
    content = saved(TENSORS)
    publish(content)
    run = CliRunner()
    listed = run.invoke(data, ["list"]).output
    assert f"Pretrained networks, in {folder}; `labkit data fetch NAME` downloads:" in listed
    assert f"  {NAME:<29} -     A network; licence: MIT\n" in listed
    assert "fetch it with `labkit data fetch" in run.invoke(data, ["show", NAME]).output
    with serving(content, "good") as server:
        done = run.invoke(data, ["fetch", NAME, "--mirror", server.address])
    assert done.exit_code == 0, done.output
    assert done.output.endswith(f"{NAME}: {folder / NAME}.safetensors\n")
    assert f"  {NAME:<29} here  A network; licence: MIT\n" in run.invoke(data, ["list"]).output
    shown = run.invoke(data, ["show", NAME]).output
    assert shown.startswith(f"{NAME}: A network; {folder / NAME}.safetensors\n")
    assert "licence: MIT\n  cite: A: B, C, 2000\n  from https://raw.githubusercontent.com/some" in shown
    refused = run.invoke(data, ["fetch", "cifar10_resnet20_apot_4bit"])
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: no licence is stated for cifar10_resnet20_apot_4bit, so it is")
    unknown = run.invoke(data, ["fetch", "cifar10_resnet21"])
    assert unknown.exit_code == 1
    assert unknown.output.startswith('Error: "cifar10_resnet21" cannot be fetched; these can: cifar10, ')
    assert "cifar10_resnet20, " in unknown.output

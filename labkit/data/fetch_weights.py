"""Fetching public weights: checked as published, then kept as safetensors under their authors' names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from labkit.data.fetch import USUAL, Patience, download, undisturbed
from labkit.data.weights import WEIGHTS, Weights
from labkit.errors import LabkitError
from labkit.paths import weights_file, write_atomically


def fetch_weights(name: str, mirrors: Sequence[str] = (), patience: Patience = USUAL) -> Path:
    """Download the weights `name` unless they are there; return the path of their safetensors.

    `mirrors` are addresses of folders that hold the published file, tried first. Where no licence is stated
    nothing is downloaded: the message says where the file can be had and where to put it, and the next call
    converts it. A pickled module is never opened. Raises LabkitError in both cases, and where no server gives
    the file or it cannot be read.
    """
    weights, path = WEIGHTS[name], weights_file(name)
    if _is_whole(path):
        return path
    if weights.read is None:
        raise LabkitError(
            f"{name} is a pickled module, which cannot be opened without running what is in it, and is not "
            f"fetched: it is at {weights.address}; the same weights as safetensors go to {path}"
        )
    if not weights.publisher.licence:
        _write(path, weights, weights.read(_given(name, path)))
        return path
    with undisturbed(name, path.parent) as downloads:
        if not _is_whole(path):  # another process may have been here
            folders = [*mirrors, weights.folder]
            original = download(name, weights.file, folders, downloads, patience)
            _write(path, weights, weights.read(original))
    return path


def _is_whole(path: Path) -> bool:
    """Whether there is a safetensors file that was not cut short; its values are checked when it is used."""
    try:
        with safetensors.safe_open(path, "pt"):
            return True
    except (OSError, safetensors.SafetensorError):
        return False


def _given(name: str, path: Path) -> Path:
    """Return the published file that the user put beside `path`; raises LabkitError unless it is there."""
    weights = WEIGHTS[name]
    given = path.with_name(f"{name}-{weights.file.name}")
    if not given.is_file():
        raise LabkitError(
            f"no licence is stated for {name}, so it is not downloaded: if you may use it, save "
            f"{weights.address} as {given}, and run this again"
        )
    if hashlib.sha256(given.read_bytes()).hexdigest() != weights.sha256:
        raise LabkitError(f"{given} is not the published file: its sha256 is not {weights.sha256}")
    return given


def _write(path: Path, weights: Weights, tensors: dict[str, Tensor]) -> None:
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(contiguous, {"source": weights.address}))

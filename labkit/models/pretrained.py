"""Networks with public weights, ready to be used.

Weights are kept as `weights/<name>.safetensors` in the data folder, under the names that their authors gave
the parameters. A file is trusted for its content alone, whoever wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.models.networks import NETWORKS, Network
from labkit.models.normalized import Normalized
from labkit.paths import weights_file


def pretrained(name: str) -> Normalized:
    """Return the network `name` with its public weights, in eval mode; it takes pixels 0..255, (B, C, H, W).

    Raises LabkitError for an unknown name, where the weights are not in the data folder, or where the file
    there holds other values than the published ones.
    """
    if name not in NETWORKS:
        raise LabkitError(f'no pretrained network "{name}"; there are: {", ".join(NETWORKS)}')
    network, path = NETWORKS[name], weights_file(name)
    tensors = _read(path, name)
    if digest(tensors) != network.digest:
        raise LabkitError(f"{path} does not hold the published weights of {name}: {_again(name)}")
    with torch.random.fork_rng(devices=[]):  # what it draws is overwritten, and no seed should notice
        model = network.build()
    try:
        model.load_state_dict({_ours(old, network): _laid_out(old, x) for old, x in tensors.items()})
    except RuntimeError as error:  # a tensor too many, one too few, or of another shape
        raise LabkitError(f"{path} does not fit {name}: {' '.join(str(error).split())}") from error
    return Normalized(model, network.mean, network.std).eval()


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, types, shapes and values of `tensors`, in the order of their names.

    It is the same for every file that holds these tensors.
    """
    hashed = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hashed.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def _read(path: Path, name: str) -> dict[str, Tensor]:
    """Return the tensors in the file but BatchNorm's counters, which play no part once training is over."""
    if not path.is_file():
        raise LabkitError(
            f"no {path.name} in {path.parent}: run `labkit data fetch {name}`, "
            "or set LABKIT_DATA to a folder that has it"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            names = [key for key in file.keys() if not key.endswith(".num_batches_tracked")]  # noqa: SIM118
            return {key: file.get_tensor(key) for key in names}
    except (OSError, safetensors.SafetensorError) as error:
        raise LabkitError(f"{path} is damaged ({error}): {_again(name)}") from error


def _again(name: str) -> str:
    return f"delete it and run `labkit data fetch {name}`"


def _ours(name: str, network: Network) -> str:
    """Return the name that we give to the parameter `name` of the file."""
    for theirs, ours in network.heads.items():
        if name.startswith(f"{theirs}."):
            name = ours + name.removeprefix(theirs)
            break
    for theirs, ours in network.parts.items():
        name = name.replace(theirs, ours)
    return name


def _laid_out(name: str, tensor: Tensor) -> Tensor:
    """Return the tensor in PyTorch's layout: Keras keeps kernels as (H, W, inputs, outputs), inputs first."""
    if not name.endswith(".kernel"):
        return tensor
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T

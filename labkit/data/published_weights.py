"""From the files in which others publish weights to tensors by name, without running anything in them."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from labkit.errors import LabkitError


def state_dict(file: Path) -> dict[str, Tensor]:
    """Return the tensors in a file of `torch.save`: the state dict itself, or that under "state_dict".

    Of a list of them there, the first. The `module.` that DataParallel puts before every name is taken off.
    Raises LabkitError for a file that holds anything else.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise LabkitError(f"{file.name} does not hold weights alone, and is not opened") from error
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise LabkitError(f"{file.name} holds no state dict")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def keras(file: Path) -> dict[str, Tensor]:
    """Return the tensors in an HDF5 file of Keras as `layer.variable`, in the layout they have there.

    Raises LabkitError where h5py is not installed, or for a file that holds no weights.
    """
    try:
        import h5py
    except ImportError as error:
        raise LabkitError("weights of Keras are read with h5py: install labkit[keras]") from error
    tensors = {}

    def take(path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            *_, layer, variable = path.split("/")
            tensors[f"{layer}.{variable.removesuffix(':0')}"] = torch.from_numpy(item[()])

    try:
        with h5py.File(file) as content:
            content["model_weights"].visititems(take)
    except (OSError, KeyError) as error:
        raise LabkitError(f"{file.name} does not hold weights of Keras") from error
    return tensors

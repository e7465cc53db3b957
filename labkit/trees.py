"""Trees of tensors in one safetensors file, written whole or not at all; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.paths import write_atomically


def save_tree(path: Path, tree: Any) -> None:
    """Write `tree`, of dicts, lists, tuples, tensors, numbers, texts and None, to `path`.

    The tensors are stored as such, what holds them as JSON in the file's metadata. Raises LabkitError for
    anything else in the tree, or where the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    shape = json.dumps(_take_apart(tree, tensors))
    write_atomically(path, safetensors.torch.save(tensors, {"tree": shape, "sha256": _hash(shape, tensors)}))


def load_tree(path: Path) -> Any:
    """Return the tree in `path`, tensors on the CPU; raises LabkitError where it is missing or damaged."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            written = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except OSError as error:
        raise LabkitError(f"cannot read {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise LabkitError(f"{path} is damaged: {error}") from error
    shape = written.get("tree", "")
    if written.get("sha256") != _hash(shape, tensors):
        raise LabkitError(f"{path} is damaged: its content does not have the hash it was written with")
    return _put_together(json.loads(shape), tensors)


def _hash(shape: str, tensors: dict[str, Tensor]) -> str:
    """Return the sha256 over the JSON and the bytes of all tensors in the order of their names."""
    hashed = hashlib.sha256(shape.encode())
    for name in sorted(tensors):
        hashed.update(tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def _take_apart(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `tree` as JSON, in which a tensor is the name under which it went into `tensors`."""
    if isinstance(tree, Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[_take_apart(part, tensors) for part in item] for item in tree.items()]}
    if isinstance(tree, list | tuple):
        return {type(tree).__name__: [_take_apart(part, tensors) for part in tree]}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise LabkitError(f"a {type(tree).__name__} cannot be saved; allowed: tensors, numbers, texts, None")


def _put_together(shape: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(shape, dict):
        return shape
    [(kind, content)] = shape.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_put_together(k, tensors): _put_together(v, tensors) for k, v in content}
    parts = [_put_together(part, tensors) for part in content]
    return tuple(parts) if kind == "tuple" else parts

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
    """Return the tree in `path`, tensors on the CPU; raises LabkitError where it is missing or damaged.

    Damaged is also what has the right hash, but is no tree that `save_tree` writes.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            written = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        if written.get("sha256") != _hash(written.get("tree", ""), tensors):
            raise ValueError("its content does not have the hash it was written with")
        tree = _put_together(json.loads(written["tree"]), tensors)
        if tensors:
            raise ValueError("it holds tensors that are no part of its tree")
    except OSError as error:
        raise LabkitError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # crafted bytes make safetensors, torch and json raise errors of many kinds
        reason = " ".join(f"{error}".split())[:200]
        raise LabkitError(f"{path} is damaged: {reason}") from error
    return tree


def moved(tree: Any, device: torch.device) -> Any:
    """Return `tree` with all tensors on `device`, without their gradients' history."""
    if isinstance(tree, Tensor):
        return tree.detach().to(device)
    if isinstance(tree, dict):
        return {key: moved(part, device) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [moved(part, device) for part in tree]
        return tuple(parts) if isinstance(tree, tuple) else parts
    return tree


def same_form(one: Any, other: Any) -> bool:
    """Return whether two trees have the same keys and lengths, and tensors of the same types and shapes."""
    return bool(_form(one) == _form(other))


def _form(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return str(tree.dtype), tuple(tree.shape)
    if isinstance(tree, dict):
        return {key: _form(part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return [_form(part) for part in tree]
    return None


def _hash(shape: str, tensors: dict[str, Tensor]) -> str:
    """Return the sha256 over the JSON and all tensors: names, in their order, types, shapes and bytes."""
    hashed = hashlib.sha256(shape.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
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
    """Return the tree that was taken apart into `shape` and `tensors`, which is emptied.

    Raises ValueError, TypeError or KeyError where `shape` is not what `_take_apart` returns.
    """
    if not isinstance(shape, dict | list):
        return shape
    match shape:
        case {"tensor": name} if len(shape) == 1:
            return tensors.pop(name)
        case {"list": [*parts]} if len(shape) == 1:
            return [_put_together(part, tensors) for part in parts]
        case {"tuple": [*parts]} if len(shape) == 1:
            return tuple(_put_together(part, tensors) for part in parts)
        case {"dict": [*items]} if len(shape) == 1 and all(isinstance(item, list) for item in items):
            tree = {_put_together(k, tensors): _put_together(v, tensors) for k, v in items}
            if len(tree) == len(items):
                return tree
    raise ValueError(f"{str(shape)[:40]} is no tree")

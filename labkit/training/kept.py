"""A long computation that many runs share: done by the first that asks, and kept for the others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import Tensor, nn

from labkit.data.sets import DataSet
from labkit.errors import LabkitError
from labkit.models.pretrained import digest as digest_of_tensors
from labkit.source.files import snapshot
from labkit.source.meaning import digest
from labkit.source.reached import Cell, Reach
from labkit.training.checkpoint import arithmetic
from labkit.trees import load_tree, save_tree

Tree = TypeVar("Tree")


def kept(
    folder: Path, function: Callable[..., Tree], device: torch.device | str, **arguments: Any
) -> tuple[Tree, str]:
    """Return the tree (`labkit.trees`) `function(**arguments)`, tensors on the CPU, and its key.

    `function` stands at the top of a module of labkit. It is called at most once for the same arguments,
    device, `arithmetic` and code: its result is kept in `folder`. A network counts by its weights and the
    code of its layers, data by their fingerprint, a tensor by its values, all else by its `repr`. The global
    random generator of torch is seeded with 0 for the call, and left as it was. Who asks while another
    process computes waits for it; a damaged file is noticed and computed anew.
    """
    identity = json.dumps(
        {
            "function": f"{function.__module__}.{function.__qualname__}",
            "arguments": {name: _identity(value) for name, value in sorted(arguments.items())},
            "device": torch.device(device).type,
            "arithmetic": arithmetic(torch.device(device)),
            "code": _code([function, *_classes(arguments.values())]),
        },
        sort_keys=True,
    )
    key = digest([identity])
    path = folder / f"{function.__name__.strip('_')}-{key}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        try:
            return _tree(path, identity), key
        except LabkitError as error:
            if path.exists():
                print(f"{error}; it is computed anew")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            save_tree(path, {"identity": identity, "tree": function(**arguments)})
        return _tree(path, identity), key  # read back: who computes gets the same as who comes later


def _tree(path: Path, identity: str) -> Any:
    saved = load_tree(path)
    if not isinstance(saved, dict) or saved.get("identity") != identity:
        raise LabkitError(f"{path} is damaged: it holds something else")
    return saved["tree"]


def _identity(value: Any) -> str:
    """Return what tells `value` from any other that the function could be given."""
    if isinstance(value, nn.Module):
        return f"{value} {digest_of_tensors({name: t.cpu() for name, t in value.state_dict().items()})}"
    if isinstance(value, Tensor):
        return digest_of_tensors({"": value.cpu()})
    return value.fingerprint if isinstance(value, DataSet) else repr(value)


def _classes(values: Iterable[Any]) -> list[type]:
    """Return the classes of labkit that `values`, the layers of networks and fields among them, are of."""
    found, left = set(), list(values)
    while left:
        value = left.pop()
        if type(value).__module__.startswith("labkit."):
            found.add(type(value))
        if isinstance(value, nn.Module):
            left += value.children()
        elif dataclasses.is_dataclass(value):
            left += value.__dict__.values()
    return sorted(found, key=lambda each: each.__qualname__)


def _code(definitions: Iterable[Any]) -> list[str]:
    """Return the hashes of the definitions of labkit that `definitions` reach, themselves among them."""
    lines = [
        f"from {each.__module__} import {each.__qualname__} as part_{k}" for k, each in enumerate(definitions)
    ]
    cell = Cell("\n".join([*lines, ", ".join(f"part_{k}" for k in range(len(lines)))]), True)
    return sorted(set(Reach([cell], "full", snapshot().get, closed=("labkit",)).hashes().values()))

"""The zoo: a trained baseline that is asked for twice is trained once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn

from labkit.data.augment import channel_statistics
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.models.normalized import Normalized
from labkit.source.files import snapshot
from labkit.source.meaning import digest
from labkit.source.reached import Cell, Reach
from labkit.training.checkpoint import arithmetic
from labkit.training.recipe import Recipe, train
from labkit.trees import load_tree, same_form, save_tree


def zoo(
    folder: Path,
    architecture: Callable[..., nn.Module],
    images: Images,
    recipe: Recipe,
    seed: int,
    **arguments: Any,
) -> Normalized:
    """Return `architecture(**arguments)`, behind the normalisation of `images`, trained on them by `recipe`.

    It is trained at most once: what was trained is kept in `folder` under a name that is made of
    architecture, arguments, data fingerprint, recipe, seed, kind of device, `arithmetic` and the code of
    labkit that took part. Who asks while another process trains it waits for that. A file that is damaged, or
    holds another network under this name, is noticed and trained anew. The global random state is left as it
    was.
    """
    device = images.x.device
    name = f"{architecture.__module__}.{architecture.__qualname__}"
    identity = json.dumps(
        {
            "architecture": name,
            "arguments": arguments,
            "data": images.fingerprint,
            "recipe": dataclasses.asdict(recipe),
            "seed": seed,
            "device": device.type,
            "arithmetic": arithmetic(device),
            "code": _code(architecture),
        },
        sort_keys=True,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabkitError(f"cannot make {folder}: {error.strerror}") from error
    path = folder / f"{architecture.__name__.lower()}-{digest([identity])}.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Normalized(architecture(**arguments), *channel_statistics(images.x)).to(device)
        with FileLock(f"{path}.lock"):
            try:
                model.load_state_dict(_weights(path, identity, model))
            except LabkitError as error:
                if path.exists():
                    print(f"{error}; it is trained anew")
                train(model, images, recipe, seed, title=architecture.__name__)
                save_tree(path, {"identity": identity, "model": dict(model.state_dict())})
            else:
                print(f"{architecture.__name__}: trained before, from {path.name}")
    return model.eval()


def _weights(path: Path, identity: str, model: nn.Module) -> dict[str, Tensor]:
    """Return the weights in `path`; raises LabkitError unless they are of `identity` and fit `model`."""
    saved = load_tree(path)
    if not isinstance(saved, dict) or saved.get("identity") != identity:
        raise LabkitError(f"{path} is damaged: it holds another network")
    weights: dict[str, Tensor] = saved.get("model", {})
    if not same_form(weights, model.state_dict()):
        raise LabkitError(f"{path} is damaged: its weights do not fit the network")
    return weights


def _code(architecture: Callable[..., nn.Module]) -> list[str]:
    """Return the hashes of the definitions of labkit that have a part in the weights."""
    parts = (
        f"from {architecture.__module__} import {architecture.__name__} as architecture",
        "from labkit.data.augment import channel_statistics",
        "from labkit.models.normalized import Normalized",
        "from labkit.training.recipe import train",
        "architecture, channel_statistics, Normalized, train",
    )
    reached = Reach([Cell("\n".join(parts), True)], "full", snapshot().get, closed=("labkit",))
    return sorted(set(reached.hashes().values()))

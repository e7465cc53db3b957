"""In which precision this machine trains fastest: measured once, and kept."""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import cast

import torch
from torch.nn import functional as F

from labkit.machine import cpu_name
from labkit.models.resnet import ResNet
from labkit.paths import cache_folder, write_atomically
from labkit.training.precision import Precision, Switch, choose

VARIABLE = "LABKIT_PRECISION"
WARM_UP, STEPS, BATCH = 2, 5, 50
# bfloat16 has a price in exactness: it must be worth it.
WORTH = 1.1


def fastest(device: torch.device | str) -> Precision:
    """Return the precision in which `device` trains fastest, or the one that `LABKIT_PRECISION` names.

    On a CPU that is measured, in about a second, and kept in `precision.json` of the user's cache folder for
    this processor, number of threads and version of torch. A GPU takes bfloat16 where it has units for it.
    Raises LabkitError where the variable names no precision.
    """
    device = torch.device(device)
    asked = os.environ.get(VARIABLE, "auto")
    if asked != "auto":
        return choose(device, cast(Switch, asked))
    if device.type == "cuda":
        return choose(device)
    return choose(device, "bfloat16" if _kept_gain() >= WORTH else "float32")


def _kept_gain() -> float:
    """Return how many times as fast as float32 bfloat16 trains on this CPU."""
    key = f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    path = cache_folder() / "precision.json"
    try:
        kept = {name: float(gain) for name, gain in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # not there, or damaged: measured again
        kept = {}
    if key not in kept:
        kept[key] = round(_measured_gain(), 3)
        write_atomically(path, f"{json.dumps(kept, indent=1)}\n".encode())
    return kept[key]


def _measured_gain() -> float:
    """Time steps of a small residual network, the two precisions in turn."""
    with torch.random.fork_rng():
        x, y = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
        both = [choose("cpu", "float32"), choose("cpu", "bfloat16")]
        models = [precision.place(ResNet(1)) for precision in both]
    seconds: list[list[float]] = [[], []]
    for _ in range(WARM_UP + STEPS):
        for precision, model, took in zip(both, models, seconds, strict=True):
            started = time.perf_counter()
            with torch.enable_grad(), precision.autocast():
                loss = F.cross_entropy(model(precision.layout(x)), y)
            loss.backward()
            took.append(time.perf_counter() - started)
    slow, fast = (statistics.median(took[WARM_UP:]) for took in seconds)
    return slow / fast

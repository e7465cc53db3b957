"""Random numbers: streams that are the same wherever they are asked for, and the states of the generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Generator


def random_states() -> dict[str, Any]:
    """Return the states of all global random generators: Python, NumPy, torch, and torch on every GPU."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put back what `random_states` returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def stream(seed: int, number: int) -> Generator:
    """Return the `number`-th of the generators of `seed`, on the CPU: the same wherever it is asked for."""
    # An odd multiplier spreads (seed, number) over 64 bits: neighbours get unrelated Mersenne states.
    return Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03) % 2**63)


def seeded(seed: int) -> None:
    """Begin the global random streams of Python, NumPy and torch anew from `seed`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)

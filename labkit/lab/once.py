"""Long computations that are no training: done once, though the process be killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from labkit.errors import LabkitError
from labkit.lab.clock import Clock
from labkit.randomness import random_states, restore_random_states
from labkit.trees import load_tree, save_tree

Tree = TypeVar("Tree")
KEPT = {"key", "tree", "random", "clock"}


def once(path: Path, key: str, clock: Clock, compute: Callable[[], Tree]) -> Tree:
    """Return what `compute` returned: from `path`, where it was kept under this `key`, or by calling it.

    From the file or not, tensors come on the CPU, and the random generators are left as `compute` left them.
    `clock` is set to the seconds that it took an earlier process. A file that is damaged, of another key or
    of other generators is ignored and overwritten. Raises LabkitError for what `save_tree` refuses.
    """
    kept = _kept(path, key, clock)
    if kept is None:
        tree = compute()
        save_tree(path, {"key": key, "tree": tree, "random": random_states(), "clock": clock.state()})
        # Read back: whoever is killed later gets the same as who is not.
        kept = load_tree(path)
    result: Tree = kept["tree"]
    return result


def _kept(path: Path, key: str, clock: Clock) -> dict[str, Any] | None:
    """Return what `path` holds, random generators and clock set; None where it is not what is asked for."""
    try:
        kept = load_tree(path)
    except LabkitError:
        return None
    if not isinstance(kept, dict) or kept.keys() != KEPT or kept["key"] != key:
        return None
    before = random_states()
    try:
        restore_random_states(kept["random"])
        clock.restore(kept["clock"])
    except Exception as error:  # generators refuse what does not fit, each in a way of its own
        restore_random_states(before)
        print(f"{path.name} does not fit and is computed anew: {' '.join(str(error).split())[:200]}")
        return None
    return kept

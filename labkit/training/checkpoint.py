"""Exact resume: a training that was killed goes on to bitwise the same weights and history, on a CPU."""

from __future__ import annotations

from pathlib import Path

from labkit.errors import LabkitError
from labkit.randomness import random_states, restore_random_states
from labkit.training.callbacks import Callback, Training
from labkit.trees import load_tree, save_tree


class Checkpoint(Callback):
    """Saves the whole state of a training every `every` steps and at its end, and starts from what it finds.

    Give it as the last callback, so that it sees what the others did in a step. The state is that of all
    parts, history, other callbacks and all random generators; batches need none, being a function of the
    step (`Batches`). `key` names what is trained (code, data, parameters): a file with another key, or for
    another number of steps, or damaged, is ignored and overwritten.
    """

    def __init__(self, path: Path, key: str, every: int = 100) -> None:
        self.path, self.key, self.every = path, key, every

    def on_start(self, training: Training) -> None:
        """Restore the state saved last, if there is one."""
        assert training.callbacks[-1] is self, "the checkpoint must be the last callback"
        try:
            saved = load_tree(self.path)
        except LabkitError:
            return
        if (saved["key"], saved["steps"]) != (self.key, training.steps):
            return
        for name, part in training.parts.items():
            part.load_state_dict(saved["parts"][name])
        training.history.restore(saved["history"])
        for callback, state in zip(training.callbacks[:-1], saved["callbacks"], strict=True):
            callback.restore(state)
        restore_random_states(saved["random"])
        training.done = saved["done"]

    def on_step_end(self, training: Training) -> None:
        """Save the state when it is time."""
        done = training.step + 1
        if done % self.every and done != training.steps:
            return
        state = {
            "key": self.key,
            "steps": training.steps,
            "done": done,
            "parts": {name: dict(part.state_dict()) for name, part in training.parts.items()},
            "history": training.history.state(),
            "callbacks": [callback.state() for callback in training.callbacks[:-1]],
            "random": random_states(),
        }
        save_tree(self.path, state)

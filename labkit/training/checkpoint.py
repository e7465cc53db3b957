"""Exact resume: a training that was killed goes on to bitwise the same weights and history, on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labkit.errors import LabkitError
from labkit.randomness import random_states, restore_random_states
from labkit.training.callbacks import Callback, Part, Training
from labkit.training.precision import choose
from labkit.trees import load_tree, same_form, save_tree


class Checkpoint(Callback):
    """Saves the whole state of a training every `every` steps and at its end, and starts from what it finds.

    Give it as the last callback, so that it sees what the others did in a step. The state is that of all
    parts, history, other callbacks and all random generators; batches need none, being a function of the
    step (`Batches`). `key` names what is trained (code, data, parameters, `arithmetic`): a file with another
    key, or for another number of steps, or damaged, is ignored and overwritten. So is one whose state does
    not fit the training; a line says so, and nothing of it is kept.
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
        mine = (self.key, training.steps)
        if not isinstance(saved, dict) or (saved.get("key"), saved.get("steps")) != mine:
            return
        before = copy.deepcopy(_state(training, training.done))
        try:
            _restore(training, saved)
        except Exception as error:  # each of those who take their part back has a way of its own to refuse
            _restore(training, before)
            reason = " ".join(str(error).split())[:200]
            print(f"{self.path.name} does not fit this training, which starts anew: {reason}")

    def on_step_end(self, training: Training) -> None:
        """Save the state when it is time."""
        done = training.step + 1
        if done % self.every and done != training.steps:
            return
        save_tree(self.path, {"key": self.key, "steps": training.steps, **_state(training, done)})


def arithmetic(device: torch.device) -> dict[str, Any]:
    """Return what decides the last bits of a training on `device`, beside code, data, parameters and seed.

    On a CPU that is also the number of threads, among which sums are divided. The model of the processor is
    left out, so that a training can be taken up on another machine.
    """
    return {
        "torch": torch.__version__,
        "precision": choose(device).name,
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
    }


def _state(training: Training, done: int) -> dict[str, Any]:
    """Return the state of `training` behind its first `done` steps."""
    return {
        "done": done,
        "parts": {name: dict(part.state_dict()) for name, part in training.parts.items()},
        "history": training.history.state(),
        "callbacks": [callback.state() for callback in training.callbacks[:-1]],
        "random": random_states(),
    }


def _restore(training: Training, state: dict[str, Any]) -> None:
    """Put back what `_state` returned; raises an error of any kind, half-way, where it does not fit."""
    if state["parts"].keys() != training.parts.keys():
        raise ValueError("it has other parts")
    for name, part in training.parts.items():
        _restore_part(name, part, state["parts"][name])
    for name, (steps, values) in state["history"].items():
        if not steps.shape == values.shape == (len(steps),):
            raise ValueError(f"its history has {len(steps)} steps and {len(values)} values of {name}")
    training.history.restore(state["history"])
    for callback, part in zip(training.callbacks[:-1], state["callbacks"], strict=True):
        callback.restore(part)
    restore_random_states(state["random"])
    if type(state["done"]) is not int or not 0 <= state["done"] <= training.steps:
        raise ValueError(f"{state['done']} of {training.steps} steps cannot be done")
    training.done = state["done"]


def _restore_part(name: str, part: Part, state: Mapping[str, Any]) -> None:
    """Let a part take its state back; raises an error of any kind where it does not fit.

    What an optimizer keeps of a parameter must at least broadcast to its shape: it checks nothing itself.
    """
    if isinstance(part, nn.Module) and not same_form(state, part.state_dict()):
        raise ValueError(f"its {name} has other weights")
    if isinstance(part, Optimizer) and not same_form(
        state["param_groups"], part.state_dict()["param_groups"]
    ):
        raise ValueError(f"its {name} has other groups")
    part.load_state_dict(state)
    if isinstance(part, Optimizer):
        for parameter, kept in part.state.items():
            for value in kept.values():
                if isinstance(value, Tensor):
                    value.broadcast_to(parameter.shape)

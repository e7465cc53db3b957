"""A training in a process of its own, to be killed: `python resumable.py KIND FOLDER`.

Prints `step N` after each step; at the end writes the sha256 over weights, history and random state.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from labkit.data.augment import flip, pad_crop, raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.training.callbacks import Callback, LearningRate, TrainAccuracy, Training, one_cycle
from labkit.training.checkpoint import Checkpoint
from labkit.training.fit import fit

STEPS = 60


class Mask(Callback):
    """Prunes a tenth of the weights left, at random, every ten steps, and keeps pruned weights at zero."""

    def __init__(self) -> None:
        self.mask = torch.empty(0)

    def on_start(self, training: Training) -> None:
        self.mask = torch.ones_like(training.model[1].weight)

    def on_step_end(self, training: Training) -> None:
        if training.step % 10 == 9:
            self.mask *= torch.rand(self.mask.shape) > 0.1
        training.model[1].weight.data.mul_(self.mask)

    def state(self) -> dict:
        return {"mask": self.mask.clone()}

    def restore(self, state: dict) -> None:
        self.mask = state["mask"]


class Tell(Callback):
    """Says how far the training is, and draws from the generators of Python and NumPy."""

    def on_step_end(self, training: Training) -> None:
        noise = random.random() + np.random.random()  # the global state is the point
        training.history.log("noise", training.step, torch.tensor(noise))
        print(f"step {training.step}", flush=True)


def main(kind: str, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    x = torch.randint(0, 256, (90, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    images = Images("some", x, torch.arange(90) % 10, tuple("0123456789"), "f")
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 32), nn.BatchNorm1d(32), nn.Dropout(0.3), nn.Linear(32, 10)
    )
    optimizer = {
        "sgd": lambda: torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9),
        "mask": lambda: torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9),
        "adam": lambda: torch.optim.AdamW(model.parameters(), 1e-3),
    }[kind]()
    callbacks: list[Callback] = [
        LearningRate(one_cycle(STEPS)),
        TrainAccuracy(),
        *([Mask()] if kind == "mask" else []),
    ]
    callbacks += [Tell(), Checkpoint(folder / "checkpoint.safetensors", kind, every=7)]
    history = fit(
        model, Loader(images, 20, [flip, pad_crop(1), raw], 0), STEPS, optimizer, callbacks=callbacks
    )
    hashed = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for tensor in model.state_dict().values():
        hashed.update(tensor.numpy().tobytes())
    for name in sorted(history.names()):
        hashed.update(repr((name, history.series(name))).encode())
    (folder / "end").write_text(hashed.hexdigest())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

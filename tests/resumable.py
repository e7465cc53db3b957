"""A training in a process of its own, to be killed: `python resumable.py KIND FOLDER`.

Prints `step N` after each step; at the end writes the sha256 over weights, a snapshot
from on the way, history and random state.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from labkit.compress.masks import KeepMask, everything, prune_global, weights_of
from labkit.data.augment import flip, pad_crop, raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.training.callbacks import Callback, Training
from labkit.training.checkpoint import Checkpoint
from labkit.training.fit import fit
from labkit.training.schedules import LearningRate, one_cycle
from labkit.training.snapshots import Snapshot
from labkit.training.watching import TrainAccuracy

STEPS = 60


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
    magnitudes = {name: weight.abs() for name, weight in weights_of(model, ["1.weight", "4.weight"]).items()}
    mask = prune_global(everything(magnitudes), magnitudes, 0.7)
    snapshot = Snapshot(20)  # a callback with a state of its own
    callbacks: list[Callback] = [
        LearningRate(one_cycle(STEPS)),
        TrainAccuracy(),
        snapshot,
        *([KeepMask(mask)] if kind == "mask" else []),
    ]
    callbacks += [Tell(), Checkpoint(folder / "checkpoint.safetensors", kind, every=7)]
    history = fit(
        model, Loader(images, 20, [flip, pad_crop(1), raw], 0), STEPS, optimizer, callbacks=callbacks
    )
    hashed = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for tensor in (*model.state_dict().values(), *snapshot.kept.values()):
        hashed.update(tensor.numpy().tobytes())
    for name in sorted(history.names()):
        hashed.update(repr((name, history.series(name))).encode())
    (folder / "end").write_text(hashed.hexdigest())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""A training in a process of its own, to be killed: `python resumable.py KIND FOLDER`.

Prints `step N` after each step; at the end writes the sha256 over weights, a snapshot
from on the way, history and random state.
"""

from __future__ import annotations

import hashlib
import random
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labkit.compress.masks import KeepMask, everything, prune_global, weights_of
from labkit.data.augment import flip, pad_crop, raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.randomness import seeded
from labkit.training.callbacks import Callback, Training
from labkit.training.checkpoint import Checkpoint
from labkit.training.fit import fit
from labkit.training.history import History
from labkit.training.schedules import LearningRate, one_cycle
from labkit.training.snapshots import Snapshot
from labkit.training.steps import repeat
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
    seeded(0)
    callbacks: list[Callback] = [Tell(), Checkpoint(folder / "checkpoint.safetensors", kind, every=7)]
    tensors, history = {"game": game, "clients": clients}.get(kind, partial(plain, kind))(callbacks)
    hashed = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for tensor in tensors:
        hashed.update(tensor.numpy().tobytes())
    for name in sorted(history.names()):
        hashed.update(repr((name, history.series(name))).encode())
    (folder / "end").write_text(hashed.hexdigest())


def plain(kind: str, callbacks: list[Callback]) -> tuple[list[Tensor], History]:
    """Train one network with `fit`."""
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
    watching: list[Callback] = [
        LearningRate(one_cycle(STEPS)),
        TrainAccuracy(),
        snapshot,
        *([KeepMask(mask)] if kind == "mask" else []),
    ]
    loader = Loader(images, 20, [flip, pad_crop(1), raw], 0)
    history = fit(model, loader, STEPS, optimizer, callbacks=[*watching, *callbacks])
    return [*model.state_dict().values(), *snapshot.kept.values()], history


def game(callbacks: list[Callback]) -> tuple[list[Tensor], History]:
    """Let two networks play against each other, a step of one and then a step of the other."""
    generator, critic = nn.Linear(4, 2), nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    optimizers = [torch.optim.Adam(network.parameters(), 1e-2) for network in (generator, critic)]
    parts = {
        "generator": generator,
        "critic": critic,
        "of generator": optimizers[0],
        "of critic": optimizers[1],
    }
    training = Training(parts, STEPS, callbacks)

    def step(number: int) -> Tensor:
        real = torch.randn(16, 2) + 3
        gain = critic(generator(torch.randn(16, 4)).detach()).mean() - critic(real).mean()
        optimizers[1].zero_grad()
        gain.backward()
        optimizers[1].step()
        loss = -critic(generator(torch.randn(16, 4))).mean()
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        training.history.log("critic", number, gain)
        return loss.detach()

    history = repeat(step, training, title="game")
    return [*generator.state_dict().values(), *critic.state_dict().values()], history


def clients(callbacks: list[Callback]) -> tuple[list[Tensor], History]:
    """Average two clients that learn on data of their own, round by round; each keeps its momentum."""
    server, networks = nn.Linear(3, 1), [nn.Linear(3, 1) for _ in range(2)]
    optimizers = [torch.optim.SGD(network.parameters(), 0.02, momentum=0.5) for network in networks]
    parts = {"server": server} | {f"of client {number}": each for number, each in enumerate(optimizers)}

    def one_round(number: int) -> Tensor:
        losses = []
        for client, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
            network.load_state_dict(server.state_dict())
            for _ in range(2):
                x = torch.randn(8, 3) + client
                loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses.append(loss.detach())
        average = {
            name: sum(each.state_dict()[name] for each in networks) / 2 for name in server.state_dict()
        }
        server.load_state_dict(average)
        return torch.stack(losses).mean()

    history = repeat(one_round, Training(parts, STEPS, callbacks), title="rounds")
    return list(server.state_dict().values()), history


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

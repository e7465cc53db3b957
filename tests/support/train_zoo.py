"""A process that asks the zoo for a network: `python train_zoo.py FOLDER [SEED]`; counts its trainings."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import torch
from torch import Generator

from labkit.data.images import Images
from labkit.models.resnet import ResNet
from labkit.training import zoo as room
from labkit.training.recipe import Recipe

x = torch.randint(0, 256, (48, 3, 8, 8), generator=Generator().manual_seed(1), dtype=torch.uint8)
IMAGES = Images("some", x, torch.arange(48) % 10, tuple("0123456789"), "f")
RECIPE = Recipe(20, 0.01, 8)


def weights_hash(model: torch.nn.Module) -> str:
    hashed = hashlib.sha256()
    for tensor in model.state_dict().values():
        hashed.update(tensor.numpy().tobytes())
    return hashed.hexdigest()


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    original = room.train

    def told(*arguments, **how):
        print("trains", flush=True)
        return original(*arguments, **how)

    room.train = told
    print(weights_hash(room.zoo(folder, ResNet, IMAGES, RECIPE, 0, blocks=1)))

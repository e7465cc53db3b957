"""The same training as a script, for `torchrun`, on one machine or several.

    torchrun --standalone --nproc-per-node 2 -m labkit.distributed.gradients.torchrun --scheme terngrad

Each process has a worker's replica, as in the notebook; the first prints what it ends with.
"""

from __future__ import annotations

import argparse
import os

import torch
import torch.distributed as dist

from labkit.data.augment import raw
from labkit.data.embedded.registry import EMBEDDED
from labkit.data.images import Images
from labkit.data.store import load
from labkit.distributed.gradients.replica import Replica, Task
from labkit.distributed.gradients.schemes import QSGD, Float, Scheme, TopK, terngrad
from labkit.distributed.gradients.workers import loopback
from labkit.measure.predict import accuracy
from labkit.models.lenet import LeNet5
from labkit.models.normalized import Normalized
from labkit.training.recipe import Recipe

SCHEMES: dict[str, Scheme] = {"float": Float(), "terngrad": terngrad(), "qsgd": QSGD(), "top-k": TopK(1 / 32)}


def main() -> None:
    """Train as the arguments ask."""
    parser = argparse.ArgumentParser(description="Train LeNet-5 on all processes of torchrun.")
    parser.add_argument("--data", default="glyphs", help="glyphs or cifar10")
    parser.add_argument("--scheme", default="terngrad", choices=sorted(SCHEMES))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=0.02)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (_images(asked.data, split) for split in ("train", "test"))

    gpus = torch.cuda.device_count()
    enough = gpus >= int(os.environ["LOCAL_WORLD_SIZE"])  # NCCL wants a GPU for each
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if enough else torch.device("cpu")
    if enough:
        torch.cuda.set_device(device)
    if os.environ["LOCAL_WORLD_SIZE"] == os.environ["WORLD_SIZE"]:  # one machine, perhaps without a network
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback())
    dist.init_process_group("nccl" if enough else "gloo")
    task = Task(
        lenet(asked.seed),
        train,
        Recipe(asked.steps, asked.learning_rate),
        asked.seed,
        SCHEMES[asked.scheme],
    )
    replica = Replica(task, dist.get_rank(), dist.get_world_size(), None, device, device)
    for number in range(asked.steps):
        replica.step(number)
    if replica.rank == 0:
        sent = sum(replica.traffic()[what] for what in ("scales", "push", "pull"))
        found = accuracy(replica.model, test.to(device), [raw])
        print(f"{replica.size} workers, {asked.scheme}: {sent:,.0f} bytes a step and worker,", end=" ")
        print(f"test accuracy {found:.4f}, weights {replica.digest()}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


def lenet(seed: int) -> Normalized:
    """Return an untrained LeNet-5 that takes pixels, the same for each `seed`."""
    torch.manual_seed(seed)
    return Normalized(LeNet5(), [128.0] * 3, [64.0] * 3)


def _images(name: str, split: str) -> Images:
    found = EMBEDDED[name].make(split, 1_000) if name in EMBEDDED else load(name, split)
    assert isinstance(found, Images)
    return found


if __name__ == "__main__":
    main()

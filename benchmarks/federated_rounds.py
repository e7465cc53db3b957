"""How many rounds a minute federated averaging makes, side by side with Flower's simulation, in one run.

    python -m benchmarks.federated_rounds       # a minute on an idle core; needs flwr[simulation]

The same clients, batches and rule: 50 clients of 80 images of digits, one epoch of batches of 10, a network
with 64 hidden units. Theirs is `flwr.simulation.run_simulation`, a Ray actor for each core, each with one
thread; ours is a single thread of this process. Times of Flower are from the end of a round to the end of the
next, so that its start is left out. A client of theirs draws the orders of those before it, as ours do, and
builds its own batches alone. Both must end at the same weights, and ours be ten times as fast, or nothing is
written. Prints rounds a minute, as median over rounds, and writes them to
benchmarks/results/federated_rounds.json.
"""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from benchmarks.kept import keep
from labkit.data.embedded.digits import digits
from labkit.distributed.federated.clients import Work, flat
from labkit.distributed.federated.partition import iid
from labkit.distributed.federated.rounds import Federation, run_rounds
from labkit.distributed.federated.rules import Received, average
from labkit.models.mlp import MLP
from labkit.models.normalized import Normalized
from labkit.training.callbacks import Callback, Training

CLIENTS, IMAGES, ROUNDS, SEED = 50, 4_000, 6, 0


def network() -> nn.Module:
    """Return the network both begin with."""
    torch.manual_seed(SEED)
    return Normalized(MLP((64,)), [0.0], [255.0])


def rule(received: Received) -> torch.Tensor:
    """Return the weighted mean."""
    return average(received.models, received.sizes)


class Times(Callback):
    """Keeps when each round ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, training: Training) -> None:
        """Look at the clock."""
        self.ends.append(time.perf_counter())


def theirs(federation: Federation) -> tuple[nn.Module, list[float]]:
    """Return the network after Flower's rounds, and when each ended."""
    from flwr.simulation import run_simulation

    from labkit.distributed.federated.flower import Ruled, client_app, server_app

    ends: list[float] = []

    class Timed(Ruled):
        def aggregate_train(self, server_round: int, replies: Iterable[Any]) -> Any:
            found = super().aggregate_train(server_round, replies)
            ends.append(time.perf_counter())
            return found

    model = network()
    run_simulation(
        server_app(Timed(model, federation, rule), ROUNDS),
        client_app(network(), federation, SEED),
        num_supernodes=CLIENTS,
        backend_config={
            "init_args": {"include_dashboard": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    return model, ends


def main() -> None:
    """Run both, print and write the result."""
    torch.set_num_threads(1)
    images = digits("train", IMAGES)
    owned = iid(images.y, CLIENTS, torch.Generator().manual_seed(SEED))
    federation = Federation(images, owned, Work(0.1, epochs=1, batch=10))
    model, times = network(), Times()
    run_rounds(model, federation, rule, ROUNDS, SEED, callbacks=[times])
    other, ends = theirs(federation)
    torch.testing.assert_close(flat(other), flat(model), atol=1e-4, rtol=1e-4)
    speeds = {
        side: [60 / (after - before) for before, after in pairwise(each)]
        for side, each in {"labkit": times.ends, "Flower": ends}.items()
    }
    for side, values in speeds.items():
        print(f"{side:8} median {statistics.median(values):10,.1f} rounds a minute")
    ratio = statistics.median(speeds["labkit"]) / statistics.median(speeds["Flower"])
    print(f"labkit / Flower: {ratio:.1f}")
    if ratio < 10:
        raise SystemExit(f"labkit makes {ratio:.1f} times as many rounds as Flower; ten times are expected")
    result = {
        "versions": {"flwr": importlib.metadata.version("flwr")},
        "threads": {"labkit": 1, "Flower": os.cpu_count()},
        "rounds a minute": speeds,
        "labkit / Flower": ratio,
    }
    keep("federated_rounds", torch.device("cpu"), result)


if __name__ == "__main__":
    main()

"""The same federation through Flower: its apps, messages and strategy loop, with a grid in this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from flwr.app import Context, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from torch import nn

from labkit.data.embedded.digits import digits
from labkit.distributed.federated import flower, partition, rules
from labkit.distributed.federated.clients import Work, flat
from labkit.distributed.federated.rounds import Federation, run_rounds
from labkit.errors import LabkitError
from labkit.models.mlp import MLP
from labkit.models.normalized import Normalized


class Here:
    """A grid whose nodes answer at once, each in a fresh copy of its context, in reversed order."""

    def __init__(self, app: Any, clients: int) -> None:
        self.app, self.clients, self.messages = app, clients, 0

    def get_node_ids(self) -> list[int]:
        return [100 + client for client in range(self.clients)]

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        answers = []
        for message in messages:
            node = message.metadata.dst_node_id
            context = Context(
                run_id=1,
                node_id=node,
                node_config={"partition-id": node - 100},
                state=RecordDict(),
                run_config={},
            )
            answers.append(self.app(message, context))
            self.messages += 1
        return answers[::-1]


@pytest.fixture(autouse=True)
def a_task_of_flower(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_task_id", "_run_id", "_node_id"):  # who sends messages: its server sets that
        monkeypatch.setattr(TaskIdentity, name, 1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return Normalized(MLP((8,)), [0.0], [255.0])


@pytest.mark.parametrize(
    "rule",
    [
        lambda r: rules.average(r.models, r.sizes),
        lambda r: rules.clipped_mean(r.models, r.previous),
    ],
)
def test_two_rounds_on_flower_give_the_weights_of_two_rounds_here(rule) -> None:
    images = digits("train", 200)
    owned = partition.dirichlet(images.y, 6, torch.Generator().manual_seed(0), 1.0)
    federation = Federation(images, owned, Work(0.2, epochs=2, batch=16))
    here, there = network(), network()
    run_rounds(here, federation, rule, 2, seed=3)
    grid = Here(flower.client_app(network(), federation, seed=3), len(owned))
    strategy = flower.Ruled(there, federation, rule)
    result = strategy.start(grid, flower.packed(flat(there)), num_rounds=2)
    assert grid.messages == 12
    assert not torch.allclose(flat(here), flat(network()), atol=1e-3)
    assert torch.allclose(flat(here), flat(there), atol=1e-5)
    assert torch.equal(flower.unpacked(result.arrays), flat(there))


def test_what_flower_cannot_do_is_refused() -> None:
    images = digits("train", 60)
    owned = partition.iid(images.y, 6, torch.Generator())
    with pytest.raises(LabkitError, match="all clients"):
        flower.client_app(network(), Federation(images, owned, Work(0.1), share=0.5), 0)

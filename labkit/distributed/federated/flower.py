"""The same clients and the same server on Flower (Beutel et al. 2020), the optional package `flwr`.

    strategy = Ruled(model, federation, rule)
    run_simulation(server_app(strategy, rounds), client_app(model, federation, seed), num_supernodes=...)

Here all clients of a federation take part in every round, and all are honest: who takes part would be drawn
by Flower's server, which does not know our numbers. The numbers of Flower's nodes come from its simulation
(`partition-id`).
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from torch import Tensor, nn

from labkit.distributed.federated.clients import drawn_batches, flat, load, padded, train_clients
from labkit.distributed.federated.rounds import Federation
from labkit.distributed.federated.rules import Received, Rule
from labkit.errors import LabkitError
from labkit.randomness import stream


def packed(vector: Tensor) -> ArrayRecord:
    """Return a model, (d,), as Flower sends it."""
    return ArrayRecord({"model": vector.cpu()})


def unpacked(record: ArrayRecord) -> Tensor:
    """Return the model in what Flower has sent, (d,)."""
    vector: Tensor = record.to_torch_state_dict()["model"]
    return vector


def client_app(model: nn.Module, federation: Federation, seed: int) -> ClientApp:
    """Return the clients of `federation` as an app: node `partition-id` trains as that client does.

    Raises LabkitError for a federation of which some clients sit out.
    """
    if federation.share != 1 or federation.attackers:
        raise LabkitError("on Flower all clients of a federation take part, and all are honest")

    def train(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        draw = stream(seed, int(message.content["config"]["server-round"]) - 1)  # Flower counts from 1
        federation.drawn(draw)
        # Those before it draw first; what they draw is thrown away.
        batches = drawn_batches(federation.owned[: client + 1], federation.work, draw)
        own = padded(batches[client:])
        here = deepcopy(model)
        load(here, unpacked(message.content["arrays"]))
        images = federation.images
        models, losses = train_clients(here, images.x, images.y, own, federation.work.learning_rate)
        told = {"num-examples": len(federation.owned[client]), "client": client, "loss": losses.item()}
        return Message(
            RecordDict({"arrays": packed(models[0]), "metrics": MetricRecord(told)}), reply_to=message
        )

    app = ClientApp()
    app.train()(train)
    return app


class Ruled(FedAvg):  # type: ignore[misc]  # flwr may not be there
    """A strategy of Flower that makes one model of many by one of our rules."""

    def __init__(self, model: nn.Module, federation: Federation, rule: Rule) -> None:
        clients = len(federation.owned)
        super().__init__(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
        self.model, self.rule, self.previous = model, rule, flat(model)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the next model, and keep it in `model`; raises LabkitError where a client has failed."""
        answered = [reply for reply in replies if not reply.has_error()]
        if len(answered) < self.min_train_nodes:
            raise LabkitError(f"{self.min_train_nodes - len(answered)} clients have failed in a round")
        contents = sorted(
            (reply.content for reply in answered), key=lambda content: content["metrics"]["client"]
        )
        models = torch.stack([unpacked(content["arrays"]) for content in contents])
        sizes = torch.tensor([float(content["metrics"]["num-examples"]) for content in contents])
        self.previous = self.rule(Received(models, self.previous, sizes))
        load(self.model, self.previous)
        losses = [float(content["metrics"]["loss"]) for content in contents]
        return packed(self.previous), MetricRecord({"loss": sum(losses) / len(losses)})


def server_app(strategy: Ruled, rounds: int) -> ServerApp:
    """Return a server that runs so many rounds of `strategy`."""

    def main(grid: Grid, context: Context) -> None:
        strategy.start(grid, packed(strategy.previous), num_rounds=rounds)

    app = ServerApp()
    app.main()(main)
    return app

"""A server, its clients, and perhaps an attacker: round after round."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from labkit.data.images import Images
from labkit.distributed.federated.clients import Work, flat, load, plan, train_clients
from labkit.distributed.federated.rules import Received, Rule
from labkit.distributed.federated.threats import Attack, DataPoisoning, OwnData, crafted
from labkit.randomness import stream
from labkit.training.callbacks import Callback, Training
from labkit.training.history import History
from labkit.training.steps import repeat

_ATTACK = 2**33  # the attacker's own streams, one a round: those of rounds are numbered from 0


@dataclass(frozen=True)
class Federation:
    """Clients that share a training set.

    Attributes:
        images: of all clients.
        owned: which of them each client has, one index tensor a client.
        work: what each does in a round.
        share: of the clients that take part in a round, at least one.
        attackers: how many of the clients, the first ones, belong to the attacker.
    """

    images: Images
    owned: Sequence[Tensor]
    work: Work
    share: float = 1.0
    attackers: int = 0

    def drawn(self, generator: Generator) -> Tensor:
        """Return which clients take part in a round, ascending."""
        count = max(1, round(self.share * len(self.owned)))
        return torch.randperm(len(self.owned), generator=generator)[:count].sort().values

    def sizes(self) -> Tensor:
        """Return how many images each client has, float32 (clients,)."""
        return torch.tensor([len(own) for own in self.owned], dtype=torch.float32)


class Poison:
    """The images of a federation, some of which an attacker changes: a part of a training."""

    def __init__(self, federation: Federation, attack: DataPoisoning) -> None:
        images = federation.images
        self.attack, self.images = attack, images
        self.mine = torch.cat(list(federation.owned[: federation.attackers])).to(images.x.device)
        self.x, self.y = images.x.clone(), images.y.clone()

    def renew(self, model: nn.Module, number: int, seed: int) -> None:
        """Let the attacker change its images before round `number`, if it is time."""
        if self.attack.due(number):
            x, y = self.images.x[self.mine], self.images.y[self.mine]  # by index: copies
            view = OwnData(x, y, self.x[self.mine], len(self.images.classes), deepcopy(model))
            self.x[self.mine], self.y[self.mine] = self.attack.craft(view, stream(seed, _ATTACK + number))

    def state_dict(self) -> dict[str, Any]:
        """Return the attacker's images as they are now."""
        return {"x": self.x[self.mine], "y": self.y[self.mine]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.x[self.mine], self.y[self.mine] = (state_dict[name].to(self.x.device) for name in ("x", "y"))


def run_rounds(
    model: nn.Module,
    federation: Federation,
    rule: Rule,
    rounds: int,
    seed: int,
    *,
    attack: Attack | None = None,
    callbacks: Sequence[Callback] = (),
    title: str = "rounds",
) -> History:
    """Train `model` in place, the server's, for so many rounds, and return what was logged.

    `loss` is that of the global model on the first batches of the round's clients, before they learn;
    `nearest lies`, under an attack on models, is 1 in rounds whose outcome is nearer to a lie than to any
    honest model. A round is a function of `seed`, its number and what came before.
    """
    images = federation.images
    poison = Poison(federation, attack) if isinstance(attack, DataPoisoning) else None
    forgery = None if isinstance(attack, DataPoisoning) else attack
    parts: dict[str, Any] = {"model": model} | ({"poison": poison} if poison else {})
    training = Training(parts, rounds, callbacks)

    def one_round(number: int) -> Tensor:
        draw = stream(seed, number)
        chosen = federation.drawn(draw)
        planned = plan([federation.owned[client] for client in chosen.tolist()], federation.work, draw)
        lying = (chosen < federation.attackers).to(images.x.device)
        if poison:
            poison.renew(model, number, seed)
        x, y = (poison.x, poison.y) if poison else (images.x, images.y)
        previous = flat(model)
        models, losses = train_clients(model, x, y, planned, federation.work.learning_rate)
        if forgery and lying.any():
            models = crafted(forgery, models, lying, previous, stream(seed, _ATTACK + number))
        new = rule(Received(models, previous, federation.sizes()[chosen].to(images.x.device)))
        if forgery:
            nearest = (models - new).norm(dim=1).argmin()
            training.history.log("nearest lies", number, lying[nearest].float())
        load(model, new)
        return losses.mean()

    return repeat(one_round, training, title=title, unit="round")

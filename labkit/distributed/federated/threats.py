"""What an attacker sees and may do. An attack is a function of a view, and a view holds nothing else.

| | data poisoning | local model poisoning, partial | full knowledge |
|---|---|---|---|
| gets | `OwnData` | `OwnModels` | `AllModels` |
| returns | images of its clients | models of its clients | models of its clients |

All tensors of a view are copies: what is not in it cannot be reached from it, nor written through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class OwnData:
    """What the attacker of a data poisoning sees: the images of its clients and the global model.

    Attributes:
        x: images of all its clients as they were, uint8 (n, C, H, W).
        y: their labels as they were, (n,).
        poison: the images as they are now, after its earlier changes.
        classes: how many classes there are.
        model: the model that all clients were sent.
    """

    x: Tensor
    y: Tensor
    poison: Tensor
    classes: int
    model: nn.Module


@dataclass(frozen=True)
class OwnModels:
    """What the attacker of a local model poisoning sees with partial knowledge.

    Attributes:
        previous: the model that all clients were sent, (d,).
        own: what its own clients have learned from it, honestly, (c, d).
        clients: how many clients there are in the round.
    """

    previous: Tensor
    own: Tensor
    clients: int


@dataclass(frozen=True)
class AllModels(OwnModels):
    """The same with full knowledge: `others` are the models of all honest clients, (m - c, d)."""

    others: Tensor


@dataclass(frozen=True)
class DataPoisoning:
    """An attack on the images of the attacker's clients, whose training stays honest.

    `craft` returns new images and labels, of the types and shapes in its view. It is asked before the
    first round, and again every `every` rounds where that is not 0.
    """

    craft: Callable[[OwnData, Generator], tuple[Tensor, Tensor]]
    every: int = 0

    def due(self, number: int) -> bool:
        """Return whether it is asked before round `number`, counted from 0."""
        return number % self.every == 0 if self.every else number == 0


@dataclass(frozen=True)
class PartialKnowledge:
    """An attack on what the attacker's clients send, (c, d), by who knows only of them."""

    craft: Callable[[OwnModels, Generator], Tensor]


@dataclass(frozen=True)
class FullKnowledge:
    """An attack on what the attacker's clients send, (c, d), by who knows all models of the round."""

    craft: Callable[[AllModels, Generator], Tensor]


ModelPoisoning = PartialKnowledge | FullKnowledge
Attack = DataPoisoning | ModelPoisoning


def crafted(
    attack: ModelPoisoning, models: Tensor, lying: Tensor, previous: Tensor, generator: Generator
) -> Tensor:
    """Return `models`, (m, d), with the rows where `lying` (m,) is true as the attack makes them."""
    own, clients = models[lying].clone(), len(models)
    if isinstance(attack, FullKnowledge):
        view = AllModels(previous.clone(), own, clients, models[~lying].clone())
        lies = attack.craft(view, generator)
    else:
        lies = attack.craft(OwnModels(previous.clone(), own, clients), generator)
    sent = models.clone()
    sent[lying] = lies
    return sent

"""What honest clients do in a round: train the global model on images of their own, all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional as F

from labkit.errors import LabkitError


@dataclass(frozen=True)
class Work:
    """What a client does with the model it gets: SGD over its own images.

    `batch` = 0 takes all of its images as one batch. `steps` ends the work after so many, 0 after all of the
    `epochs`. FedSGD is one epoch with one batch.
    """

    learning_rate: float
    epochs: int = 1
    batch: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Plan:
    """The batches of several clients, padded to the same number and size.

    `index` (clients, steps, batch) int64 into the images; `weight`, of the same shape, is 1/n for each of the
    n images of a batch and 0 for padding: a step that is all padding has no gradient, and changes nothing.
    """

    index: Tensor
    weight: Tensor


def plan(owned: Sequence[Tensor], work: Work, generator: Generator) -> Plan:
    """Return the batches of clients that own the images at `owned`: a new order for every epoch.

    Raises LabkitError where none of them has an image.
    """
    if not any(len(own) for own in owned):
        raise LabkitError("none of the clients of a round has an image")
    return padded(drawn_batches(owned, work, generator))


def drawn_batches(owned: Sequence[Tensor], work: Work, generator: Generator) -> list[list[Tensor]]:
    """Return the batches of each client as it draws them, one client after the other."""
    batches: list[list[Tensor]] = []
    for own in owned:
        mine: list[Tensor] = []
        for _ in range(work.epochs):
            order = own[torch.randperm(len(own), generator=generator)]
            mine += order.split(work.batch or len(own)) if len(own) else []
        batches.append(mine[: work.steps or None])
    return batches


def padded(batches: Sequence[Sequence[Tensor]]) -> Plan:
    """Return the plan of clients with these batches, of at least one step of one image."""
    steps = max([1, *(len(mine) for mine in batches)])
    size = max([1, *(len(batch) for mine in batches for batch in mine)])
    index = torch.zeros(len(batches), steps, size, dtype=torch.int64)
    weight = torch.zeros(len(batches), steps, size)
    for client, mine in enumerate(batches):
        for step, batch in enumerate(mine):
            index[client, step, : len(batch)] = batch
            weight[client, step, : len(batch)] = 1 / len(batch)
    return Plan(index, weight)


def flat(model: nn.Module) -> Tensor:
    """Return all parameters of `model` as one vector, (d,), a copy."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def shaped(model: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    """Return views of `vector`, (..., d), as the named parameters of `model`, each (..., *shape)."""
    parts = vector.split([parameter.numel() for parameter in model.parameters()], dim=-1)
    named = zip(model.named_parameters(), parts, strict=True)
    return {name: part.unflatten(-1, parameter.shape) for (name, parameter), part in named}


@torch.no_grad()
def load(model: nn.Module, vector: Tensor) -> None:
    """Write `vector`, (d,), into the parameters of `model`."""
    new = shaped(model, vector)
    for name, parameter in model.named_parameters():
        parameter.copy_(new[name])


def weighted_loss(
    model: nn.Module, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor, weight: Tensor
) -> Tensor:
    """Return the cross-entropy of `model` with other `parameters`, summed over images by `weight`."""
    logits = functional_call(model, dict(parameters), (x,))
    return (F.cross_entropy(logits, y, reduction="none") * weight).sum()


def train_clients(
    model: nn.Module, x: Tensor, y: Tensor, planned: Plan, learning_rate: float, at_once: int | None = None
) -> tuple[Tensor, Tensor]:
    """Train a copy of `model` for each client of the plan; `model` stays.

    All clients take a step together, on parameters with one axis more, or `at_once` of them where memory is
    short. Images `x` (N, C, H, W) are of any number type; `model` takes them as floats and has no state
    beside its parameters that training changes.

    Returns:
        The clients' models, (clients, d), and each client's loss in its first step, (clients,).
    """
    clients, steps, _ = planned.index.shape
    index, weight = planned.index.to(x.device), planned.weight.to(x.device)
    parameters = {
        name: value.detach().expand(clients, *value.shape).clone() for name, value in model.named_parameters()
    }

    def loss(own: dict[str, Tensor], images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        return weighted_loss(model, own, images, labels, weights)

    differentiated = vmap(grad_and_value(loss), chunk_size=at_once)
    first = torch.empty(0)
    for step in range(steps):
        at = index[:, step]
        gradients, losses = differentiated(parameters, x[at].float(), y[at], weight[:, step])
        for name, gradient in gradients.items():
            parameters[name].sub_(gradient, alpha=learning_rate)
        first = losses if step == 0 else first
    return torch.cat([value.flatten(1) for value in parameters.values()], dim=1), first


def model_losses(model: nn.Module, vectors: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy, (k,), of `model` with each of the parameters `vectors`, (k, d)."""
    weight = torch.full((len(y),), 1 / len(y), device=x.device)

    def loss(own: dict[str, Tensor]) -> Tensor:
        return weighted_loss(model, own, x.float(), y, weight)

    losses: Tensor = vmap(loss)(shaped(model, vectors))
    return losses

"""Who has which images: ways to share out a training set among clients.

Each returns one index tensor a client, int64. No image is given away twice, and a client's number says
nothing about what it has.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor

from labkit.errors import LabkitError


def iid(y: Tensor, clients: int, generator: Generator) -> list[Tensor]:
    """Give each client as many images, drawn at random; what is left over is given to nobody."""
    _enough(len(y), clients)
    size = len(y) // clients
    order = torch.randperm(len(y), generator=generator)
    return list(order[: size * clients].split(size))


def shards(y: Tensor, clients: int, generator: Generator, each: int = 2) -> list[Tensor]:
    """Sort the images by label, cut them into shards, and give each client `each` of them.

    With two, most clients have images of two classes (McMahan et al. 2017, section 3).
    """
    count = clients * each
    _enough(len(y), count)
    size = len(y) // count
    mixed = torch.randperm(len(y), generator=generator)
    by_label = mixed[y.cpu()[mixed].argsort(stable=True)]
    pieces = by_label[: size * count].view(count, size)
    drawn = torch.randperm(count, generator=generator).view(clients, each)
    return [pieces[own].flatten() for own in drawn]


def dirichlet(y: Tensor, clients: int, generator: Generator, alpha: float) -> list[Tensor]:
    """Share out each class in proportions drawn from a symmetric Dirichlet distribution.

    Small `alpha` gives a class to few clients; clients then have unlike numbers of images, too, and some may
    have none (Li et al. 2022, section IV).
    """
    if alpha <= 0:
        raise LabkitError(f"alpha is {alpha:g}; a Dirichlet distribution needs one above 0")
    dice = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    own: list[list[Tensor]] = [[] for _ in range(clients)]
    for label in range(int(y.max()) + 1):
        index = (y.cpu() == label).nonzero().squeeze(1)
        index = index[torch.randperm(len(index), generator=generator)]
        shares = dice.dirichlet(np.full(clients, alpha))
        ends = torch.from_numpy((shares.cumsum()[:-1] * len(index)).astype(np.int64))
        for client, piece in enumerate(index.tensor_split(ends)):
            own[client].append(piece)
    return [torch.cat(pieces) for pieces in own]


def groups(y: Tensor, clients: int, generator: Generator, q: float) -> list[Tensor]:
    """Let each class have a group of clients of its own, which gets its images with probability `q`.

    All other groups get an image of the class with the same probability, and inside of a group each client
    (Fang et al. 2020, section 4.1). With `q` = 1 / classes that is IID, with 1 a client has one class.
    """
    classes = int(y.max()) + 1
    if clients % classes or not 0 <= q <= 1:
        raise LabkitError(
            f"{clients} clients and q = {q:g}: {classes} groups need a multiple and a probability"
        )
    other = torch.randint(classes - 1, (len(y),), generator=generator)
    group = torch.where(torch.rand(len(y), generator=generator) < q, y.cpu(), other + (other >= y.cpu()))
    member = torch.randint(clients // classes, (len(y),), generator=generator)
    client = torch.randperm(clients, generator=generator)[group * (clients // classes) + member]
    return [(client == number).nonzero().squeeze(1) for number in range(clients)]


def _enough(images: int, pieces: int) -> None:
    if images < pieces:
        raise LabkitError(f"{images} images cannot be cut into {pieces} pieces")

"""A network as a chain of units that can be left out, image by image, or change places."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.models.normalized import Normalized
from labkit.models.parts import evaluating
from labkit.models.resnet import BasicBlock
from labkit.models.vgg import ConvLayer

Unit = BasicBlock | ConvLayer
Program = Sequence[int | None]  # which unit runs at each place; None: what is there is left out


def changes_shape(unit: Unit) -> bool:
    """Return whether the identity cannot stand in for `unit`: it has other channels, or a stride."""
    if isinstance(unit, ConvLayer):
        return unit.conv.in_channels != unit.conv.out_channels
    return not isinstance(unit.shortcut, nn.Identity)


def bypass(unit: Unit, x: Tensor) -> Tensor:
    """Return what is left of `unit`, for its input `x`, without its convolutions and BatchNorm.

    Of a residual block that is ReLU(shortcut(x)). Of a plain layer it is its pooling, behind zero channels
    where it would have added some.
    """
    if isinstance(unit, BasicBlock):
        return F.relu(unit.shortcut(x))
    x = F.pad(x, (0, 0, 0, 0, 0, unit.conv.out_channels - unit.conv.in_channels))
    return F.max_pool2d(x, 2) if unit.pool else x


class Chain(nn.Module):
    """`model`, a sequence of a stem, of `units` and of a head; all weights are those of `model`.

    Raises LabkitError for a network whose units do not follow each other.
    """

    def __init__(self, model: Normalized) -> None:
        super().__init__()
        self.model = model
        layers = list(model.model.children())
        at = [place for place, layer in enumerate(layers) if isinstance(layer, Unit)]
        if not at or at != list(range(at[0], at[-1] + 1)):
            raise LabkitError("this network is no chain of residual blocks or of plain layers")
        self._at = slice(at[0], at[-1] + 1)
        self.train(model.training)  # its own mode is that of the network

    @property
    def units(self) -> list[Unit]:
        """The units, in their order."""
        return [unit for unit in list(self.model.model.children())[self._at] if isinstance(unit, Unit)]

    def __len__(self) -> int:
        """Return the number of units."""
        return self._at.stop - self._at.start

    def stem(self, x: Tensor) -> Tensor:
        """Return the input of the first unit, for pixels 0..255 (B, C, H, W)."""
        y = (x - self.model.mean) / self.model.std
        for layer in list(self.model.model.children())[: self._at.start]:
            y = layer(y)
        return y

    def run(self, y: Tensor, keep: Tensor, start: int = 0) -> Tensor:
        """Return the output of the last unit, from the input `y` of the unit `start`.

        `keep`, bool (B, units), says which units run for which image. Those of an image that are left out
        are not computed.
        """
        for k, unit in enumerate(self.units[start:], start):
            running = keep[:, k]
            if running.all():
                y = unit(y)
                continue
            left = bypass(unit, y)
            which = running.nonzero().squeeze(1)
            y = left.index_copy(0, which, unit(y[which])) if len(which) else left
        return y

    def head(self, y: Tensor) -> Tensor:
        """Return the logits, (B, classes), for the output of the last unit."""
        for layer in list(self.model.model.children())[self._at.stop :]:
            y = layer(y)
        return y

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the logits for pixels 0..255; without `keep`, bool (B, units), all units run."""
        y = self.stem(x)
        if keep is None:
            keep = torch.ones(len(x), len(self), dtype=torch.bool, device=x.device)
        return self.head(self.run(y, keep))

    def follow(self, y: Tensor, program: Program, start: int = 0) -> Tensor:
        """Return the logits of `program`, from the input `y` of the place `start`."""
        units = self.units
        for place in range(start, len(units)):
            chosen = program[place]
            y = bypass(units[place], y) if chosen is None else units[chosen](y)
        return self.head(y)


def without(units: int, left_out: Collection[int]) -> Program:
    """Return the program of a chain of so many `units` in which those of `left_out` are missing."""
    return tuple(None if unit in left_out else unit for unit in range(units))


def exchangeable(chain: Chain) -> list[list[int]]:
    """Return the groups, of two units or more, in which inputs and outputs have the same shapes."""
    groups = defaultdict(list)
    for k, unit in enumerate(chain.units):
        if not changes_shape(unit):
            first = unit.conv if isinstance(unit, ConvLayer) else unit.conv1
            groups[first.in_channels].append(k)
    return [group for group in groups.values() if len(group) > 1]


def shuffled(units: int, groups: Sequence[Sequence[int]], swaps: int, generator: Generator) -> list[int]:
    """Return an order of `units` units after so many swaps of two places of one of `groups`.

    The places are drawn so that each unit in a group is as likely as any other.
    """
    order = list(range(units))
    members = [(group, unit) for group in groups for unit in group]
    for _ in range(swaps if members else 0):
        group, one = members[int(torch.randint(len(members), (), generator=generator))]
        others = [unit for unit in group if unit != one]
        other = others[int(torch.randint(len(others), (), generator=generator))]
        order[one], order[other] = order[other], order[one]
    return order


def kendall_tau(order: Sequence[int]) -> float:
    """Return the share of pairs in `order`, all different, that ascend less the share that descends."""
    pairs = [(a, b) for k, a in enumerate(order) for b in order[k + 1 :]]
    return sum(1 if a < b else -1 for a, b in pairs) / len(pairs)


@torch.no_grad()
def answered(chain: Chain, images: Images, programs: Sequence[Program], size: int = 125) -> Tensor:
    """Return the logits of each of `programs` in eval mode, (programs, N, classes).

    What a program has in common with the intact network, up to its first change, is computed once for all.
    """
    intact, parts = range(len(chain)), []
    with evaluating(chain):
        for begin in range(0, len(images), size):
            x = raw(images.x[begin : begin + size], Generator())
            states = [chain.stem(x.contiguous(memory_format=torch.channels_last))]
            for unit in chain.units:
                states.append(unit(states[-1]))
            found = []
            for program in programs:
                changed = [place for place in intact if program[place] != place]
                start = changed[0] if changed else len(chain)
                found.append(chain.follow(states[start], program, start))
            parts.append(torch.stack(found))
    return torch.cat(parts, dim=1)


def accuracies(chain: Chain, images: Images, programs: Sequence[Program]) -> list[float]:
    """Return the share of `images` that each of `programs` has right, 0..1."""
    hits = answered(chain, images, programs).argmax(2) == images.y
    return hits.double().mean(1).tolist()

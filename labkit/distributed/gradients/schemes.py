"""How workers tell each other their gradients: whole, rounded to a few levels, or the largest values only.

Each scheme turns the gradients of a worker into bytes, has them exchanged, and returns the mean over workers,
the same to the last digit on all of them.

Where codes can be added, each worker owns a share of all values: it is *pushed* the codes of its share by
all others, adds them, and all *pull* the sums. That is what a server would do, divided among the workers; for
whole numbers of 32 bits it is the usual all-reduce. What cannot be added goes from each to all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.distributed.gradients.packing import pack, unpack, width
from labkit.distributed.gradients.rounding import clipped, rounded
from labkit.distributed.gradients.wire import Wire

FLOAT = 0  # levels of a layer that is sent as it is


class Scheme(Protocol):
    """A way to exchange gradients."""

    def mean(
        self, gradients: Sequence[Tensor], layers: Sequence[int], wire: Wire, generator: Generator
    ) -> list[Tensor]:
        """Return the mean over workers of `gradients`, each of one layer; `layers` are their numbers."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return what this worker remembers from step to step: of most schemes, nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        assert not state, "nothing was remembered"


@dataclass(frozen=True)
class Float(Scheme):
    """32 bits a value, each way."""

    def mean(
        self, gradients: Sequence[Tensor], layers: Sequence[int], wire: Wire, generator: Generator
    ) -> list[Tensor]:
        """Return the mean of the gradients as they are."""
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        return _like(gradients, _whole_sum(flat, wire) / wire.size)


@dataclass(frozen=True)
class Levels(Scheme):
    """Each layer rounded at random to 2 * levels + 1 values; with one level that is TernGrad.

    Attributes:
        levels: how many above zero, for all layers or by the number of the layer; `FLOAT` sends it whole.
        clip: a layer is clipped at so many of its standard deviations; None leaves it.
        shared: all workers use the largest of their scales, so that codes can be added; otherwise each has
            its own, and sends its codes to all.
        one_scale: the largest value of the whole network is the scale of every layer.
    """

    levels: int | Mapping[int, int] = 1
    clip: float | None = 2.5
    shared: bool = True
    one_scale: bool = False

    def mean(
        self, gradients: Sequence[Tensor], layers: Sequence[int], wire: Wire, generator: Generator
    ) -> list[Tensor]:
        """Return the mean of the rounded gradients."""
        together: dict[int, list[int]] = defaultdict(list)  # places of the layers with so many levels
        for place, layer in enumerate(layers):
            together[self.levels if isinstance(self.levels, int) else self.levels[layer]].append(place)
        means = list(gradients)
        for levels, places in sorted(together.items()):
            chosen = [gradients[place] for place in places]
            if levels == FLOAT:
                found = Float().mean(chosen, layers, wire, generator)
            else:
                found = self._rounded(chosen, levels, wire, generator)
            for place, mean in zip(places, found, strict=True):
                means[place] = mean
        return means

    def _rounded(
        self, gradients: Sequence[Tensor], levels: int, wire: Wire, generator: Generator
    ) -> list[Tensor]:
        if self.clip is not None:
            gradients = [clipped(gradient, self.clip) for gradient in gradients]
        scales = torch.stack([gradient.abs().max() for gradient in gradients])
        if self.one_scale:
            scales = scales.max().expand(len(scales))
        sizes = [gradient.numel() for gradient in gradients]
        # (workers, layers); where all agree on the largest, each row is the same
        all_scales = _floats(wire.gather(_bytes(scales), "scales"))
        if self.shared:
            scales = all_scales.amax(0)
        codes = torch.cat(
            [
                rounded(gradient, scale, levels, generator).flatten()
                for gradient, scale in zip(gradients, scales, strict=True)
            ]
        )
        if self.shared:
            sums = _sum_of_codes(codes, levels, wire)
            total = sums * _each(scales, sizes)
        else:
            every = wire.gather(pack(_filled(codes + levels, 8), width(2 * levels + 1)), "push")
            signed = unpack(every, width(2 * levels + 1))[:, : len(codes)] - levels
            total = sum(
                (row * _each(own, sizes) for row, own in zip(signed, all_scales, strict=True)),
                torch.zeros_like(codes, dtype=torch.float32),
            )
        return _like(gradients, total / (levels * wire.size))


@dataclass(frozen=True)
class QSGD(Scheme):
    """QSGD (Alistarh et al. 2017): levels between zero and the length of each `bucket` of values.

    Codes have a fixed number of bits, and go from each worker to all, with a length a bucket.
    """

    levels: int = 7
    bucket: int = 512

    def mean(
        self, gradients: Sequence[Tensor], layers: Sequence[int], wire: Wire, generator: Generator
    ) -> list[Tensor]:
        """Return the mean of the rounded gradients."""
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        buckets = _filled(flat, self.bucket).view(-1, self.bucket)
        lengths = buckets.norm(dim=1, keepdim=True)
        codes = rounded(buckets, lengths, self.levels, generator) + self.levels
        bits = width(2 * self.levels + 1)
        all_codes = unpack(wire.gather(pack(codes.flatten(), bits), "push"), bits) - self.levels
        all_lengths = _floats(wire.gather(_bytes(lengths.flatten()), "scales"))
        values = all_codes.view(wire.size, -1, self.bucket) * all_lengths.unsqueeze(2) / self.levels
        return _like(gradients, (values.sum(0) / wire.size).flatten()[: len(flat)])


@dataclass(frozen=True)
class TopK(Scheme):
    """The largest values of each layer, a share of `kept`, each with its place, from each worker to all.

    With `memory`, what was not sent is added to the next gradient (error feedback, Stich et al. 2018).
    """

    kept: float
    memory: bool = True
    left: dict[int, Tensor] = field(default_factory=dict)  # by layer: what was not sent yet

    def mean(
        self, gradients: Sequence[Tensor], layers: Sequence[int], wire: Wire, generator: Generator
    ) -> list[Tensor]:
        """Return the mean over workers of what each has sent."""
        places, values, start = [], [], 0
        for gradient, layer in zip(gradients, layers, strict=True):
            flat = gradient.flatten()
            if layer in self.left:
                flat = flat + self.left[layer].to(flat.device)
            place = flat.abs().topk(max(1, round(self.kept * len(flat)))).indices
            if self.memory:
                self.left[layer] = flat.index_fill(0, place, 0)
            places.append(start + place)
            values.append(flat[place])
            start += len(flat)
        all_places = wire.gather(_bytes(torch.cat(places).int()), "push").view(torch.int32)
        all_values = _floats(wire.gather(_bytes(torch.cat(values)), "push"))
        total = torch.zeros(start, device=all_values.device)
        for place, value in zip(all_places, all_values, strict=True):
            total.index_add_(0, place.long(), value)
        return _like(gradients, total / wire.size)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was not sent yet, by the number of the layer."""
        return {str(layer): value for layer, value in self.left.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self.left.clear()
        self.left.update({int(layer): value for layer, value in state.items()})


def terngrad(clip: float | None = 2.5) -> Levels:
    """Return TernGrad (Wen et al. 2017): a sign or zero for each value, a shared scale for each layer."""
    return Levels(1, clip)


def _whole_sum(flat: Tensor, wire: Wire) -> Tensor:
    shares = _filled(flat, wire.size).view(wire.size, -1)
    own = _floats(wire.scatter(_bytes(shares))).sum(0)
    return _floats(wire.gather(_bytes(own))).flatten()[: len(flat)]


def _sum_of_codes(codes: Tensor, levels: int, wire: Wire) -> Tensor:
    """Return the sum over workers of `codes`, in -levels..levels, (N,)."""
    pushed, pulled = width(2 * levels + 1), width(2 * levels * wire.size + 1)
    shares = _filled(codes + levels, 8 * wire.size).view(wire.size, -1)
    own = unpack(wire.scatter(pack(shares, pushed)), pushed).sum(0, dtype=torch.int32)  # 0..2 * levels * size
    sums = unpack(wire.gather(pack(own, pulled)), pulled).flatten()[: len(codes)]
    return sums - levels * wire.size


def _filled(flat: Tensor, of: int) -> Tensor:
    """Return `flat` with zeros behind, to a multiple of `of` values."""
    return F.pad(flat, (0, -len(flat) % of))


def _bytes(values: Tensor) -> Tensor:
    return values.contiguous().view(torch.uint8)


def _floats(raw: Tensor) -> Tensor:
    return raw.view(torch.float32)


def _each(scales: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the scale of each value, that of its layer."""
    return scales.repeat_interleave(torch.tensor(sizes, device=scales.device))


def _like(gradients: Sequence[Tensor], flat: Tensor) -> list[Tensor]:
    """Return `flat` cut into the shapes of `gradients`."""
    parts = flat.split([gradient.numel() for gradient in gradients])
    return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]

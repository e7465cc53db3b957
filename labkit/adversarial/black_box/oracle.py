"""The only way to a victim: an oracle that says yes or no, and counts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from labkit.adversarial.black_box.distance import Norm, length
from labkit.errors import LabkitError

ROUNDING = 1e-6  # of the pixel range: what float32 arithmetic may leave it by


class Oracle:
    """Answers whether a picture is adversarial, counts each as a query, and keeps the nearest one.

    A picture is adversarial for an original if the network gives it another class than `classes` says or,
    `targeted`, just that class. The network itself is out of reach: it is copied, runs in eval mode and
    without gradients, and no attribute leads to it.

    Attributes:
        originals: the images under attack, 0..1 (N, C, H, W). Pictures that are asked about are 0..1, too.
        classes: classes to get away from or, where `targeted`, to get to, int64 (N,).
        norm: how distances are measured; they are those of pixels 0..1.
        budget: queries that each original may cost, int64 (N,); none beyond it is answered.
        batch: pictures that the network sees at once.
        asked: queries so far, int64 (N,).
        best: the adversarial picture nearest to each original so far, (N, C, H, W); NaN where there is none.
        distance: its distance, (N,); infinite where there is none.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        classes: Tensor,
        *,
        budget: int | Tensor,
        targeted: bool = False,
        norm: Norm = "L2",
        high: float = 255.0,
        batch: int = 250,
    ) -> None:
        """Stand before `model`, which takes pixels 0..`high` (B, C, H, W) as float32 and returns logits.

        `images` are such pixels; `budget` is one for all or one for each, (N,). Raises LabkitError where an
        image is adversarial as it is: there is nothing to find for an attack. That check is no query.
        """
        self.originals, self.classes = images.float() / high, classes
        self.targeted, self.norm, self.batch = targeted, norm, batch
        self.asked = torch.zeros_like(classes)
        self.budget = self.asked + budget
        self.best = torch.full_like(self.originals, torch.nan)
        self.distance = torch.full((len(images),), torch.inf, device=images.device)
        self._seen = _classifier(model, high, batch)
        self._events: list[tuple[Tensor, Tensor, Tensor]] = []
        found = self._adversarial(self.originals, torch.arange(len(images), device=images.device))
        if found.any():
            told = "already of the class asked for" if targeted else "misclassified as they are"
            raise LabkitError(f"{int(found.sum())} of {len(images)} images are {told}: leave them out")

    @property
    def left(self) -> Tensor:
        """The queries that each original has left, int64 (N,)."""
        return self.budget - self.asked

    def ask(self, x: Tensor, ids: Tensor) -> Tensor:
        """Return for each picture of `x`, 0..1 (B, C, H, W), whether it is adversarial, bool (B,).

        `ids` says for which original, int64 (B,), in ascending order. Raises LabkitError, and answers
        nothing, where one would be asked about more often than its budget allows, for pixels outside 0..1,
        and for `ids` in another order.
        """
        if not len(ids):
            return ids.bool()
        if bool((ids.diff() < 0).any()):
            raise LabkitError("the ids of the originals have to ascend")
        wanted = torch.bincount(ids, minlength=len(self.asked))
        if bool((wanted > self.left).any()):
            i = int((wanted - self.left).argmax())
            raise LabkitError(
                f"image {i} has {self.left[i]} of its queries left, and {wanted[i]} are asked for"
            )
        low, high = x.aminmax()
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):
            raise LabkitError(f"pixels are 0..1; these are {low:g}..{high:g}")
        found = self._adversarial(x, ids)
        self._keep(x, ids, found)
        self.asked += wanted
        return found

    def distances(self, queries: Sequence[int]) -> Tensor:
        """Return the distance of the nearest adversarial picture after so many queries, (len(queries), N).

        It is a step function: what the last query up to then had found; infinite before the first.
        """
        distances = torch.full((len(queries), len(self.asked)), torch.inf, device=self.asked.device)
        if self._events:
            ids, at, found = (torch.cat(parts) for parts in zip(*self._events, strict=True))
            for row, limit in zip(distances, queries, strict=True):
                row.scatter_reduce_(0, ids[at <= limit], found[at <= limit], "amin")
        return distances

    def reached(self, distance: float) -> Tensor:
        """Return after how many queries each original had an adversarial picture so near, (N,).

        Infinite where it never had.
        """
        queries = torch.full_like(self.distance, torch.inf)
        if self._events:
            ids, at, found = (torch.cat(parts) for parts in zip(*self._events, strict=True))
            near = found <= distance
            queries.scatter_reduce_(0, ids[near], at[near].float(), "amin")
        return queries

    def _adversarial(self, x: Tensor, ids: Tensor) -> Tensor:
        same = self._seen(x) == self.classes[ids]
        return same if self.targeted else ~same

    def _keep(self, x: Tensor, ids: Tensor, found: Tensor) -> None:
        """Keep the nearest of the adversarial pictures for each original that has a nearer one now."""
        rows = found.nonzero().flatten()
        if not len(rows):
            return
        far = length(x[rows] - self.originals[ids[rows]], self.norm)
        nearest = self.distance.scatter_reduce(0, ids[rows], far, "amin")
        better = rows[(far == nearest[ids[rows]]) & (far < self.distance[ids[rows]])]
        owners, first = _first_of_each(ids[better])
        better = better[first]
        place = better - torch.searchsorted(ids, owners)  # among the pictures of this call for that original
        self.distance[owners], self.best[owners] = nearest[owners], x[better]
        self._events.append((owners, self.asked[owners] + place + 1, nearest[owners]))


def _classifier(model: nn.Module, high: float, batch: int) -> Callable[[Tensor], Tensor]:
    """Return what gives pictures 0..1 their classes: a copy of `model`, channels-last, which is faster."""
    hidden = copy.deepcopy(model).eval().requires_grad_(False)
    hidden.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def seen(x: Tensor) -> Tensor:
        parts = (part * high for part in x.split(batch))
        return torch.cat(
            [hidden(part.contiguous(memory_format=torch.channels_last)).argmax(1) for part in parts]
        )

    return seen


def _first_of_each(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different `ids`, which ascend, and where each of them stands first."""
    owners = ids.unique_consecutive()
    return owners, torch.searchsorted(ids, owners)

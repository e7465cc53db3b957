"""What goes from worker to worker, and how much of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass
class Wire:
    """Two ways to send bytes among the workers of a `group`; counts those that leave this worker.

    Attributes:
        rank: number of this worker, from 0.
        size: number of workers.
        device: where the bytes leave from: that of the backend.
        sent: bytes so far that left this worker, by what they were: `scales`, `push` and `pull`.
        rounds: exchanges so far, in which each waits for all.
        clock: tells the seconds; of those spent in an exchange the sum is `waited`.
    """

    rank: int
    size: int
    group: dist.ProcessGroup | None
    device: torch.device
    clock: Callable[[], float]
    sent: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    waited: float = 0.0

    def scatter(self, rows: Tensor, what: str = "push") -> Tensor:
        """Send row j of `rows`, uint8 (size, N), to worker j; return the rows that came here, (size, N)."""
        if self.size == 1:
            return rows
        leaving = rows.contiguous().to(self.device)
        came = torch.empty_like(leaving)
        self._timed(lambda: dist.all_to_all_single(came, leaving, group=self.group))
        self._count(what, (self.size - 1) * leaving[0].nbytes)
        return came.to(rows.device)

    def gather(self, row: Tensor, what: str = "pull") -> Tensor:
        """Send `row`, uint8 (N,), to all workers; return those of all workers, (size, N), in their order."""
        if self.size == 1:
            return row.unsqueeze(0)
        leaving = row.contiguous().to(self.device)
        came = leaving.new_empty(self.size, len(row))
        self._timed(lambda: dist.all_gather(list(came.unbind()), leaving, group=self.group))
        self._count(what, (self.size - 1) * leaving.nbytes)
        return came.to(row.device)

    def _timed(self, exchange: Callable[[], object]) -> None:
        began = self.clock()
        exchange()
        self.waited += self.clock() - began

    def _count(self, what: str, sent: int) -> None:
        self.sent[what] = self.sent.get(what, 0) + sent
        self.rounds += 1

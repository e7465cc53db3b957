"""What a run costs: on a GPU the time, on a CPU that of the processor, which other programs do not lengthen.

A run that was killed and went on adds the seconds of the processes before this one.
"""

from __future__ import annotations

import time

import torch

from labkit.machine import spent_elsewhere
from labkit.training.callbacks import Callback, Training


def spent() -> float:
    """Return the seconds that this process has spent so far: all its threads, and workers, without a GPU."""
    return time.monotonic() if torch.cuda.is_available() else time.process_time() + spent_elsewhere()


class Clock(Callback):
    """Tells how many seconds of a training were spent by processes that were killed: `earlier`.

    Without a training it counts from when it was made.
    """

    def __init__(self) -> None:
        self.earlier = 0.0
        self._started = spent()

    def on_start(self, training: Training) -> None:
        """Start to count."""
        self._started = spent()

    def state(self) -> dict[str, float]:
        """Return the seconds until now, those of earlier processes included."""
        return {"seconds": self.earlier + spent() - self._started}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self.earlier = state["seconds"]

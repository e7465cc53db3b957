"""What a run costs that was killed and went on: the seconds of the processes before this one."""

from __future__ import annotations

import time

from labkit.training.callbacks import Callback, Training


class Clock(Callback):
    """Tells how many seconds of a training were spent by processes that were killed: `earlier`.

    Without a training it counts from when it was made.
    """

    def __init__(self) -> None:
        self.earlier = 0.0
        self._started = time.monotonic()

    def on_start(self, training: Training) -> None:
        """Start to count."""
        self._started = time.monotonic()

    def state(self) -> dict[str, float]:
        """Return the seconds until now, those of earlier processes included."""
        return {"seconds": self.earlier + time.monotonic() - self._started}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self.earlier = state["seconds"]

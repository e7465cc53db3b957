"""Learning rates as functions of the step."""

from __future__ import annotations

from collections.abc import Callable

from labkit.training.callbacks import Callback, Training


class LearningRate(Callback):
    """Multiplies the optimizer's own learning rates by `factor(step)` before every step."""

    def __init__(self, factor: Callable[[int], float]) -> None:
        self.factor = factor
        self._base: list[float] = []

    def on_start(self, training: Training) -> None:
        """Remember the optimizer's rates."""
        self._base = [group["lr"] for group in training.optimizer.param_groups]

    def on_step_start(self, training: Training) -> None:
        """Set the rates of this step."""
        for group, base in zip(training.optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * self.factor(training.step)


def one_cycle(steps: int, warmup: float = 0.2) -> Callable[[int], float]:
    """Return the factor that rises linearly to 1 over `warmup` of `steps`, then falls linearly to 0.

    After Smith and Topin (2018), without their momentum cycle.
    """
    peak = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        return min((step + 1) / peak, (steps - step) / max(1, steps - peak + 1))

    return factor

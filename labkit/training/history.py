"""Numbers logged during training."""

from __future__ import annotations

import torch
from torch import Tensor


class History:
    """Series of numbers by name; values stay on the device until they are read, so logging never waits."""

    def __init__(self) -> None:
        self._steps: dict[str, list[int]] = {}
        self._values: dict[str, list[Tensor]] = {}

    def log(self, name: str, step: int, value: Tensor) -> None:
        """Append `value`, a scalar tensor, to the series `name` at `step`."""
        self._steps.setdefault(name, []).append(step)
        self._values.setdefault(name, []).append(value.detach())

    def state(self) -> dict[str, list[Tensor]]:
        """Return all series as name → [steps, values]."""
        return {name: [torch.tensor(steps), self._stacked(name)] for name, steps in self._steps.items()}

    def restore(self, state: dict[str, list[Tensor]]) -> None:
        """Replace all series by those that `state` returned."""
        self._steps = {name: steps.tolist() for name, (steps, _) in state.items()}
        self._values = {name: list(values) for name, (_, values) in state.items()}

    def names(self) -> list[str]:
        """Return the names of all series."""
        return list(self._values)

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Return steps and values of the series `name`; KeyError where it was never logged."""
        return list(self._steps[name]), self._stacked(name).double().tolist()

    def sampled(self, name: str, every: int) -> list[tuple[int, float]]:
        """Return (step, value) of every `every`-th entry, the first included."""
        steps, values = self.series(name)
        return list(zip(steps[::every], values[::every], strict=True))

    def block_means(self, name: str, size: int) -> list[tuple[int, float]]:
        """Return (last step, mean) of consecutive blocks of `size` entries; the last block may be shorter."""
        steps, values = self.series(name)
        blocks = [(steps[i : i + size], values[i : i + size]) for i in range(0, len(steps), size)]
        return [(block_steps[-1], sum(block) / len(block)) for block_steps, block in blocks]

    def _stacked(self, name: str) -> Tensor:
        values = self._values[name]
        # after a resume, the first values may be on the CPU and the last on an accelerator
        return torch.stack([value.to(values[-1].device) for value in values])

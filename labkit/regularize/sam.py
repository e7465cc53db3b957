"""Sharpness-aware minimisation (Foret et al. 2021): descend by the gradient at the worst point nearby."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labkit.errors import LabkitError
from labkit.measure.ascent import uphill
from labkit.models.parts import put
from labkit.randomness import random_states, restore_random_states
from labkit.training.callbacks import Callback, Training


class SAM(Optimizer):
    """Steps of `base` with the gradient at w + e, e being where in the ball of `rho` the loss is highest.

    e is found by `ascents` steps of `uphill`, in the ball of `norm` 2 or `math.inf`, so that a step costs
    `ascents` + 1 gradients; a single ascent is e = rho g / (|g| + 1e-12), and rho sign(g) for L-infinity. All
    of them see the same batch and the same random numbers. Running statistics of `model` are those of the
    first pass, at w. `base` holds what is optimised, its param_groups and its state are this optimizer's own.
    After a step, `rise` is L(w + e) - L(w) on its batch. Raises LabkitError for what is out of range.
    """

    def __init__(
        self, base: Optimizer, model: nn.Module, rho: float, *, norm: float = 2.0, ascents: int = 1
    ) -> None:
        if rho < 0 or norm not in (2, math.inf) or ascents < 1:
            given = f"rho {rho}, norm {norm} and {ascents} ascents"
            raise LabkitError(f"SAM was given {given}; allowed: rho from 0, norm 2 or inf, ascents from 1")
        super().__init__(base.param_groups, base.defaults)
        self.base, self.model, self.rho, self.norm, self.ascents = base, model, rho, norm, ascents
        self.rise = torch.zeros(())
        self._share()

    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Change the weights; `closure` computes loss and gradients. Returns the loss before, at w."""
        drawn = random_states()
        loss = here = closure()
        statistics = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        weights = [parameter.detach().clone() for parameter in parameters]
        offsets = [torch.zeros_like(weight) for weight in weights]
        try:
            for _ in range(self.ascents):
                gradients = [parameter.grad for parameter in parameters]
                offsets = uphill(offsets, gradients, self.rho, self.ascents, self.norm)
                put(parameters, [w + e for w, e in zip(weights, offsets, strict=True)])
                restore_random_states(drawn)
                loss = closure()
        finally:
            put(parameters, weights)  # not w + e - e, which rounding would let drift
        for buffer, kept in statistics:
            buffer.copy_(kept)
        self.base.step()
        self.rise = loss - here
        return here

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base optimizer: there is no other between two steps."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self.base.load_state_dict(state_dict)
        self._share()  # the base has made new ones

    def _share(self) -> None:
        self.param_groups, self.state = self.base.param_groups, self.base.state


class InnerRise(Callback):
    """Logs `rise`, by how much the ascent of a `SAM` raised the loss of the step's batch, in nats."""

    def on_step_end(self, training: Training) -> None:
        """Log what the optimizer found."""
        assert isinstance(training.optimizer, SAM)
        training.history.log("rise", training.step, training.optimizer.rise)

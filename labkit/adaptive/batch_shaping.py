"""Batch-shaping: gates that follow a Beta distribution over the batch (Ehteshami Bejnordi et al. 2020)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from scipy import special
from torch import Tensor, nn

from labkit.adaptive.gated import Gate, GatedBlock
from labkit.data.batches import Batch
from labkit.training.callbacks import Callback, Training
from labkit.training.fit import cross_entropy

A, B = 0.6, 0.4  # of the Beta distribution
EDGE = 1e-4  # its density is infinite at 0 and 1: no closer


class BetaCdf(torch.autograd.Function):
    """I_x(a, b), the regularised incomplete Beta function, whose derivative by x is the Beta density."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: float, b: float) -> Tensor:
        """Return the share of the distribution below each of `x`, 0..1, computed on the CPU."""
        ctx.save_for_backward(x)
        ctx.a, ctx.b = a, b
        return torch.from_numpy(special.betainc(a, b, x.detach().cpu().numpy())).to(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient by x; there is none by a and b."""
        (x,) = ctx.saved_tensors
        a, b = ctx.a, ctx.b
        density = x ** (a - 1) * (1 - x) ** (b - 1) / float(special.beta(a, b))
        return gradients[0] * density, None, None


def batch_shaping(values: Tensor, a: float = A, b: float = B) -> Tensor:
    """Return (1/N) sum_i (i/(N+1) - I_{x_i}(a, b))^2 of each gate over its sorted `values`, (N, gates).

    Zero where the values of a gate spread over the batch as Beta(a, b) does; large for a gate that is the
    same for all images. The result is (gates,). Values nearer to 0 or 1 than EDGE count as EDGE and get no
    gradient: this loss does not call a saturated gate back.
    """
    n = len(values)
    ordered = values.clamp(EDGE, 1 - EDGE).sort(dim=0).values
    empirical = torch.arange(1, n + 1, device=values.device, dtype=values.dtype)[:, None] / (n + 1)
    theoretical: Tensor = BetaCdf.apply(ordered, a, b)  # type: ignore[no-untyped-call]
    return (empirical - theoretical).square().mean(0)


class GateLoss:
    """Cross-entropy + gamma * batch-shaping, summed over gates + strength * sum of sigmoid(a).

    The last is the L0 term, a mean over the batch: with noise 1 the expected number of open gates, without
    noise a smooth stand-in for their number. `GateSchedule` moves both weights.
    """

    def __init__(self, blocks: Collection[GatedBlock]) -> None:
        self.gates: list[Gate] = [block.gate for block in blocks]
        self.gamma = self.strength = 0.0

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of `model`, which holds the gates, on `batch`."""
        loss = cross_entropy(model, batch)
        probability = torch.cat([gate.probability for gate in self.gates], dim=1).float()
        if self.gamma:
            loss = loss + self.gamma * batch_shaping(probability).sum()
        return loss + self.strength * probability.sum(1).mean()


class GateSchedule(Callback):
    """Lowers gamma linearly to 0 over the first `shaping` steps, then raises the L0 weight to `full`.

    The L0 weight is zero until step `shaping`, linear up to `strength` at step `full`, and stays there. The
    noise of the gates falls linearly from 1 to 0 at step `full`: from then on the network trains with the
    gates that it will be tested with. The paper keeps the noise; short trainings do not get over it.
    """

    def __init__(self, loss: GateLoss, *, gamma: float, strength: float, shaping: int, full: int) -> None:
        self.loss, self.gamma, self.strength = loss, gamma, strength
        self.shaping, self.full = max(1, shaping), max(1, full)

    def on_step_start(self, training: Training) -> None:
        """Set both weights and the noise for the step."""
        step = training.step
        self.loss.gamma = self.gamma * max(0.0, 1 - step / self.shaping)
        ramp = (step - self.shaping) / max(1, self.full - self.shaping)
        self.loss.strength = self.strength * min(1.0, max(0.0, ramp))
        for gate in self.loss.gates:
            gate.noise = max(0.0, 1 - step / self.full)

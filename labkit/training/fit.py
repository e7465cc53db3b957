"""Training one network with one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from labkit.data.batches import Batch, Batches
from labkit.training.callbacks import Callback, Training
from labkit.training.history import History
from labkit.training.precision import Switch, choose
from labkit.training.steps import repeat

Loss = Callable[[nn.Module, Batch], Tensor]


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of `model` on `batch`, in nats, a scalar."""
    return F.cross_entropy(model(batch.x), batch.y)


def fit(
    model: nn.Module,
    batches: Batches,
    steps: int,
    optimizer: Optimizer,
    *,
    loss: Loss = cross_entropy,
    callbacks: Sequence[Callback] = (),
    precision: Switch = "auto",
    title: str = "fit",
) -> History:
    """Train `model` in place for `steps` of `batches` and return what was logged (`loss` at least).

    What differs between projects goes in through three doors: `loss(model, batch)` returns a scalar;
    `optimizer` is handed a closure that computes loss and gradients, and may call it more than once;
    `callbacks` act at the moments named in `Callback`. The model and the batches are on one device. What
    alternates, or has more than one network, is built on `repeat` instead.
    """
    model.train()
    number_format = choose(next(model.parameters()).device, precision)
    number_format.place(model)
    training = Training({"model": model, "optimizer": optimizer}, steps, callbacks)

    def closure() -> Tensor:
        optimizer.zero_grad()
        with number_format.autocast():
            value = loss(model, training.batch)
        value.backward()
        training.loss = value.detach()
        for callback in callbacks:
            callback.on_gradient(training)
        return training.loss

    def step(number: int) -> Tensor:
        batch = batches.batch(number)
        training.batch = Batch(number_format.layout(batch.x), batch.y, batch.index)
        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[arg-type]
        return training.loss

    return repeat(step, training, title=title, unit="batch")

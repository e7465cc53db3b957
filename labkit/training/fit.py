"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from tqdm import tqdm

from labkit.data.batches import Batch, Loader
from labkit.training.callbacks import Callback, Training
from labkit.training.history import History
from labkit.training.precision import Switch, choose

Loss = Callable[[nn.Module, Batch], Tensor]


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of `model` on `batch`, in nats, a scalar."""
    return F.cross_entropy(model(batch.x), batch.y)


def fit(
    model: nn.Module,
    loader: Loader,
    steps: int,
    optimizer: Optimizer,
    *,
    loss: Loss = cross_entropy,
    callbacks: Sequence[Callback] = (),
    precision: Switch = "auto",
    title: str = "fit",
) -> History:
    """Train `model` in place for `steps` batches of `loader` and return what was logged (`loss` at least).

    What differs between projects goes in through three doors: `loss(model, batch)` returns a scalar;
    `optimizer` is handed a closure that computes loss and gradients, and may call it more than once;
    `callbacks` act at the moments named in `Callback`. The model and the loader's images are on one device.
    """
    model.train()
    device = next(model.parameters()).device
    number_format = choose(device, precision)
    number_format.place(model)
    training = Training(model, optimizer, steps, callbacks)

    def closure() -> Tensor:
        optimizer.zero_grad()
        with number_format.autocast():
            value = loss(model, training.batch)
        value.backward()
        training.loss = value.detach()
        for callback in callbacks:
            callback.on_gradient(training)
        return training.loss

    for callback in callbacks:
        callback.on_start(training)
    try:
        for step in tqdm(range(training.done, steps), title, unit="batch", leave=False):
            batch, training.step = loader.batch(step), step
            training.batch = Batch(number_format.layout(batch.x), batch.y, batch.index)
            for callback in callbacks:
                callback.on_step_start(training)
            with torch.enable_grad():
                optimizer.step(closure)  # type: ignore[arg-type]
            training.history.log("loss", training.step, training.loss)
            for callback in callbacks:
                callback.on_step_end(training)
    finally:
        for callback in callbacks:
            callback.on_end(training)
    return training.history

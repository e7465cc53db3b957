"""Updates that are counted: an optimizer that writes each weight at most so many times in a training.

A weight is written in a step with a probability of its own. What is written is its gradient over that
probability, so that the expectation of a step is that of plain gradient descent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labkit.randomness import stream
from labkit.training.callbacks import Callback, Training

Rule = Literal["magnitude", "even", "largest"]
# Of the mean probability: no chance is smaller, so that no step is over ten times that of even chances.
FLOOR = 0.1


def probabilities(wish: Tensor, mean: float) -> Tensor:
    """Return min(1, alpha * wish) with alpha such that the mean is `mean`, if there are enough wishes.

    `wish` is not negative; who has none gets none.
    """
    target = mean * wish.numel()
    chance = wish * (target / wish.sum().clamp(min=torch.finfo(wish.dtype).tiny))
    for _ in range(30):  # those cut off at 1 leave something for the others
        capped = chance >= 1
        rest = chance[~capped].sum()
        missing = target - capped.sum() - rest
        if missing <= 1e-4 * target or rest <= 0:
            break
        chance = torch.where(capped, chance, chance * (1 + missing / rest))
    return chance.clamp(max=1)


class BoundedSGD(Optimizer):
    """Gradient descent without momentum that writes each weight at most `budget` times in `steps` steps.

    Attributes:
        rule: who is written. ``magnitude``: by chance, likelier the larger the gradient and the more is left
            of its budget. ``even``: by chance, by what is left alone. ``largest``: those with the largest
            gradients, as they are, which is not unbiased.
        rate: share of the weights to write in a step, with no regard to how much is left of a budget until
            it is spent; None spreads what is left of the budget evenly over the steps that are left.
        whole: probabilities are set among all weights of the network, and not in each layer by itself.

    The state of a parameter has `writes`, how often each of its values has changed, and `asked`, how often
    each was chosen. A group with `frozen` set is chosen as before and left as it is: what it would have been
    given is not given to others.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        budget: int,
        steps: int,
        seed: int,
        *,
        rule: Rule = "magnitude",
        rate: float | None = None,
        whole: bool = False,
    ) -> None:
        groups = [{"params": [parameter], "frozen": False} for parameter in parameters]
        super().__init__(groups, {"lr": lr})
        self.budget, self.steps, self.seed = budget, steps, seed
        self.rule, self.rate, self.whole = rule, rate, whole
        for [parameter] in (group["params"] for group in self.param_groups):
            self.state[parameter] = {
                # As floats: what an optimizer takes back from a checkpoint, it turns into those.
                "writes": torch.zeros_like(parameter),
                "asked": torch.zeros_like(parameter),
                "step": 0,
            }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Write some of the weights."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        number = self.state[self.param_groups[0]["params"][0]]["step"]
        generator = stream(self.seed, 2**50 + number)
        for group in self.param_groups:
            self.state[group["params"][0]]["step"] = number + 1
        for groups in [self.param_groups] if self.whole else [[group] for group in self.param_groups]:
            self._write(groups, number, generator)
        return loss

    def _write(self, groups: list[dict[str, Any]], number: int, generator: torch.Generator) -> None:
        some: list[nn.Parameter] = [group["params"][0] for group in groups]
        gradient = torch.cat([_gradient(parameter).flatten() for parameter in some])
        asked = torch.cat([self.state[parameter]["asked"].flatten() for parameter in some])
        left = self.budget - asked
        mean = self.rate
        if mean is None:
            mean = min(1.0, float(left.mean()) / max(1, self.steps - number))
        if self.rule == "largest":
            all_writes = self.budget * len(left)
            count = all_writes * (number + 1) // self.steps - all_writes * number // self.steps
            place = torch.where(left > 0, gradient.abs(), -1).topk(count).indices
            chosen = torch.zeros_like(left, dtype=torch.bool).index_fill(0, place, True) & (left > 0)
            change = gradient
        else:
            weight = left if self.rate is None else (left > 0).to(left.dtype)
            wish = weight * gradient.abs() if self.rule == "magnitude" else weight
            chance = probabilities(wish, mean)
            if self.rule == "magnitude":
                chance = torch.where(left > 0, chance.clamp(min=FLOOR * mean), 0)
            drawn = torch.rand(len(chance), generator=generator).to(chance.device)
            chosen = drawn < chance
            change = gradient / torch.where(chosen, chance, 1)
        sizes = [parameter.numel() for parameter in some]
        for group, mask, delta in zip(groups, chosen.split(sizes), change.split(sizes), strict=True):
            parameter = group["params"][0]
            state = self.state[parameter]
            mask, delta = mask.view_as(parameter), delta.view_as(parameter)
            state["asked"] += mask
            if not group["frozen"]:
                before = parameter.clone()
                parameter.sub_(torch.where(mask, group["lr"] * delta, 0))
                # What is no number differs from itself, and has not changed.
                state["writes"] += (parameter != before) & ~(parameter.isnan() & before.isnan())

    def writes(self) -> list[Tensor]:
        """Return how often each weight has changed, a tensor for each parameter."""
        return [self.state[group["params"][0]]["writes"] for group in self.param_groups]


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None, "every parameter has a gradient"
    return parameter.grad


class WriteRates(Callback):
    """Notes every `every` steps which share of each parameter's values was written in a step, on average.

    With `threshold`, a parameter is frozen for good when its rate falls below that share of its highest one.
    `rates` has for each of these times and each parameter a rate for each output: a filter of a convolution,
    a row of a matrix. `frozen` has the step of each that was frozen, by number of the parameter.
    """

    def __init__(self, every: int, threshold: float = 0.0) -> None:
        self.every, self.threshold = every, threshold
        self.rates: list[list[list[float]]] = []
        self.frozen: dict[int, int] = {}
        self._before: list[Tensor] = []

    def state(self) -> dict[str, Any]:
        """Return what was noted."""
        frozen = {str(number): step for number, step in self.frozen.items()}
        return {"rates": self.rates, "frozen": frozen, "before": self._before}

    def restore(self, state: dict[str, Any]) -> None:
        """Take it back; the optimizer has its groups' `frozen` itself."""
        self.rates, self._before = list(state["rates"]), list(state["before"])
        self.frozen = {int(number): step for number, step in state["frozen"].items()}

    def on_step_end(self, training: Training) -> None:
        """Note the rates, and freeze what is due, when it is time."""
        done = training.step + 1
        if done % self.every:
            return
        optimizer = training.optimizer
        assert isinstance(optimizer, BoundedSGD)
        now = [writes.clone() for writes in optimizer.writes()]
        before = self._before or [torch.zeros_like(writes) for writes in now]
        self.rates.append(
            [
                ((after - earlier).reshape(len(after), -1).double().mean(1) / self.every).tolist()
                for after, earlier in zip(now, before, strict=True)
            ]
        )
        self._before = now
        for number, noted in enumerate(zip(*self.rates, strict=True)):
            means = [fmean(outputs) for outputs in noted]
            if number not in self.frozen and means[-1] < self.threshold * max(means):
                self.frozen[number] = done
                optimizer.param_groups[number]["frozen"] = True

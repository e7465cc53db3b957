"""Checkers of chapter p05, robust and non-robust features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.exercises.checking import checker, expect, own_claim, same
from labkit.measure.intervals import mean_interval

own_set = checker(own_claim)


@checker
def grey_levels(answer: Callable[[float, int, int], float]) -> None:
    """The squared length of a change is the number of its numbers times their mean square."""
    for length, channels, side in ((1.0, 1, 1), (0.5, 3, 32), (2.0, 1, 28)):
        expected = 255 * length / math.sqrt(channels * side * side)
        same(answer(length, channels, side), expected, f"grey_levels({length}, {channels}, {side})")


@checker
def right_by_sight(answer: Callable[[int, bool], float]) -> None:
    """Labels that are independent of what is seen, and labels that avoid it."""
    for classes in (2, 10):
        same(answer(classes, False), 1 / classes, f"right_by_sight({classes}, False)")
        same(answer(classes, True), 0.0, f"right_by_sight({classes}, True)")


class _Target(nn.Module):
    """Logits W x for flattened pixels, with a BatchNorm in front of them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        with torch.no_grad():
            self.norm.running_mean.fill_(120)  # type: ignore[union-attr]
            self.norm.running_var.fill_(900)  # type: ignore[union-attr]
        self.weight = torch.randn(3, 12, generator=Generator().manual_seed(3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.norm(x.flatten(1)) @ self.weight.T
        return logits


@checker
def towards_target(answer: Callable[[nn.Module, Tensor, Tensor, float, float, int], Tensor]) -> None:
    """A targeted attack in an L2 ball, image by image, among pixels, in eval mode."""
    x = torch.randint(0, 256, (6, 3, 2, 2), generator=Generator().manual_seed(1)).float()
    x[0] = torch.tensor([0.0, 255.0]).repeat(6).view(3, 2, 2)  # where a step leaves the pixels
    target = torch.tensor([0, 1, 2, 0, 1, 2])
    for training in (True, False):
        model = _Target().train(training)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        found = answer(model, x.clone(), target, 60.0, 25.0, 8)
        expect(isinstance(found, Tensor), "A tensor of images is asked for.")
        expect(found.shape == x.shape, f"Images of shape {tuple(x.shape)} are asked for.")
        kept = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        expect(kept, "The statistics of BatchNorm have changed: in which mode was the model?")
        expect(model.training is training, "The model is left in another mode than it came in.")
        expect(bool(found.isfinite().all()), "Some pixels are not finite.")
        expect(bool((found.min() >= 0) & (found.max() <= 255)), "Some pixels leave 0..255.")
        longest = (found - x).flatten(1).norm(dim=1).max().item()
        expect(longest <= 60.01, f"A change is {longest:.1f} long; 60 is allowed.")
        loss = F.cross_entropy(model.eval()(found), target)
        nearer = bool(loss < F.cross_entropy(model(x), target))
        expect(nearer, "The images are farther from their targets than before: which way is down?")
        with torch.no_grad():
            alone = torch.cat([_reference(model, x[i : i + 1], target[i : i + 1]) for i in range(len(x))])
        same(found.detach(), alone, "the attacked batch, compared with each image attacked by itself,", 1e-2)


def _reference(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    z = x.clone()
    for _ in range(8):
        z.requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(model(z), target)
        (gradient,) = torch.autograd.grad(loss, z)
        change = z.detach() - 25 * gradient / gradient.norm().clamp_min(1e-12) - x
        z = (x + change * (60 / change.norm().clamp_min(1e-12)).clamp_max(1)).clamp(0, 255)
    return z.detach()


@checker
def somebody_else(answer: Callable[[int, Generator], Tensor]) -> None:
    """A draw in which nobody gets himself, each is drawn once, and many draws are possible."""
    seen = set()
    for n in (2, 3, 5, 40):
        for seed in range(30):
            drawn = answer(n, Generator().manual_seed(seed))
            expect(isinstance(drawn, Tensor), "A tensor of numbers is asked for.")
            expect(drawn.shape == (n,), f"For {n} images, {n} numbers are asked for.")
            expect(drawn.sort().values.equal(torch.arange(n)), f"Of {n} images, not each is used once.")
            own = int((drawn == torch.arange(n)).sum())
            expect(own == 0, f"With seed {seed}, {own} of {n} images begin at themselves.")
            if n == 40:
                seen.add(tuple(drawn.tolist()))
    expect(len(seen) > 25, "Thirty seeds give hardly any different draws.")


@checker
def learned_from_next_labels(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Given the label the old class is known: the mean is the change minus m, the covariance Sigma."""
    m, variances = torch.tensor([3.0, 0.5, 0.2]), torch.tensor([4.0, 0.25, 1.0])
    for eps in (0.5, 2.0, 8.0):
        found = answer(m, variances, eps)
        expect(isinstance(found, Tensor), "A tensor of weights is asked for.")
        expect(found.shape == m.shape, f"{len(m)} weights are asked for.")
        w = m / variances
        expected = (eps * w / w.norm() - m) / variances
        told = f"the direction of learned_from_next_labels with eps {eps}"
        same(found / found.norm(), expected / expected.norm(), told, 1e-4)


@checker
def share_of_right_labels(
    answer: Callable[[Sequence[dict[str, Any]], str], tuple[float, float, float]],
) -> None:
    """A quotient of what is above chance, paired by seed, on the scale of its logarithm."""
    random, right = [0.2, 0.35, 0.25, 0.31], [0.5, 0.55, 0.6, 0.52]
    rows = [
        {"seed": seed, "arm": arm, "test accuracy": value}
        for arm, values in (("originals", right), ("random label", random))
        for seed, value in enumerate(values)
    ]
    logs = [math.log((a - 0.1) / (b - 0.1)) for a, b in zip(random, right, strict=True)]
    wanted = mean_interval(logs)
    for order in (rows, rows[::-1]):
        found = answer(order, "random label")
        expect(isinstance(found, tuple | list) and len(found) == 3, "Mean, low and high are asked for.")
        for name, got, value in zip(
            ("mean", "low", "high"), found, (wanted.mean, wanted.low, wanted.high), strict=True
        ):
            same(float(got), math.exp(value), f"the {name}", 1e-4)
    below = [row | {"test accuracy": 0.09} if row["arm"] == "random label" else row for row in rows]
    try:
        answer(below, "random label")
    except ValueError:
        return
    expect(False, "A share below nothing has no logarithm: a ValueError is asked for.")


@checker
def inversion_step(
    answer: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, float], Tensor],
) -> None:
    """A step of the given length downhill in each image, and none at the goal itself."""
    weight = torch.randn(12, 4, generator=Generator().manual_seed(2)) / 10

    def features(x: Tensor) -> Tensor:
        return x.flatten(1) @ weight

    x = torch.randint(80, 180, (5, 3, 2, 2), generator=Generator().manual_seed(0)).float()
    goal = features(x.flip(0)).detach()  # the image in the middle is its own goal
    found = answer(features, x.clone(), goal, 4.0)
    expect(isinstance(found, Tensor), "A tensor of images is asked for.")
    expect(bool(found.isfinite().all()), "An image became NaN: the one whose features are right already.")
    expect(torch.equal(found[2].detach(), x[2]), "The image at its goal has moved.")
    lengths = (found - x).flatten(1).norm(dim=1)[[0, 1, 3, 4]].detach()
    same(lengths, torch.full((4,), 4.0), "the length of each step", 1e-3)
    away = [(features(each) - goal).norm(dim=1)[[0, 1, 3, 4]] for each in (found, x)]
    expect(bool((away[0] < away[1]).all()), "Features are farther from the goal than before.")
    dark = answer(features, torch.zeros_like(x), features(x + 50).detach(), 500.0)
    expect(bool((dark.min() >= 0) & (dark.max() <= 255)), "Some pixels leave 0..255.")

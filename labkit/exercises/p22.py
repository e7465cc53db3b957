"""Checkers of chapter p22, CIFAR-10 and vanishing gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.exercises.checking import checker, expect, same
from labkit.measure.signals import signals
from labkit.models.convnet import ConvNet
from labkit.models.parts import convolutions


@checker
def possible_views(answer: Callable[[int, bool], int]) -> None:
    """Every shift in both directions, and each of them mirrored."""
    for padding, mirrored, views in ((0, False, 1), (1, False, 9), (4, True, 162), (2, True, 50)):
        same(answer(padding, mirrored), views, f"possible_views({padding}, {mirrored})")


@checker
def keeping_variance(answer: Callable[[float], float]) -> None:
    """The mean square of a leaky ReLU's output is (1 + slope^2) / 2 of that of its input."""
    same(answer(0.0), 2.0, "keeping_variance(0.0), which is ReLU,", 1e-3)
    same(answer(1.0), 1.0, "keeping_variance(1.0), which is no nonlinearity at all,", 1e-3)
    for slope in (0.1, 0.5):
        value = answer(slope)
        expect(isinstance(value, int | float), f"keeping_variance({slope}) should be a number.")
        x = torch.randn(200_000, generator=Generator().manual_seed(0))
        left = value * F.leaky_relu(x, slope).square().mean().item()
        told = f"keeping_variance({slope}) is {value:.4g}; measured, a layer multiplies the mean square by"
        expect(abs(left - 1) < 0.02, f"{told} {left:.3f}.")


@checker
def weight_gradient(answer: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    """The derivative by a convolution's weight, from its input and the derivative by its output."""
    torch.manual_seed(0)
    for images, channels, kernel in ((1, 1, 3), (3, 2, 3), (2, 3, 5)):
        layer = nn.Conv2d(channels, 4, kernel, padding=kernel // 2)
        x = torch.randn(images, channels, 6, 6)
        z = layer(x)
        backward = torch.randn_like(z)
        [expected] = torch.autograd.grad(z, [layer.weight], backward)
        got = answer(x, backward, kernel)
        same(got, expected, f"the gradient of a {kernel}×{kernel} kernel over {images} images", 1e-3)


@checker
def smallest_gradient(answer: Callable[[float, float, float], float]) -> None:
    """The constant gradient below which Adam's steps are lost in the rounding of a float32 weight."""
    for weight, rate, eps in ((0.1, 1e-3, 1e-8), (0.1, 1e-3, 1e-20), (1.5, 1e-2, 1e-8)):
        name = f"smallest_gradient({weight}, {rate:g}, {eps:g})"
        found = answer(weight, rate, eps)
        expect(isinstance(found, int | float), f"{name} should be a number.")
        expect(math.isfinite(found) and found > 0, f"{name} is {found!r}; it should be above zero.")
        for factor, moves in ((1.2, True), (0.8, False)):
            gradient = factor * found
            told = "moves, and should not" if not moves else "does not move, and should"
            hint = f"{name} is {found:.4g}; with {factor} times that the weight {told}."
            expect(_moves(weight, gradient, rate, eps) is moves, hint)


def _moves(weight: float, gradient: float, rate: float, eps: float) -> bool:
    """Return whether a float32 `weight` changes where Adam has seen the same gradient for ever."""
    start = torch.tensor(weight)
    return bool(start - rate * gradient / (gradient + eps) != start)


@checker
def watched_gradients(answer: Callable[[nn.Module, nn.Conv2d, Sequence[Any]], list[float]]) -> None:
    """G of a layer at each step, each from its own step's gradient alone."""
    batches = [(torch.randn(4, 3, 8, 8, generator=Generator().manual_seed(k)), k) for k in range(4)]
    steps = [(scale * x, torch.arange(4)) for (x, _), scale in zip(batches, (1, 5, 0.2, 2), strict=True)]

    def fresh() -> tuple[nn.Module, nn.Conv2d]:
        torch.manual_seed(0)
        model = ConvNet(4, batch_norm=False)
        return model, convolutions(model)[0]

    model, first = fresh()
    optimizer, expected = torch.optim.SGD(model.parameters(), 0.1), []
    for x, y in steps:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        assert first.weight.grad is not None
        expected.append(first.weight.grad.abs().max().item())
        optimizer.step()
    got = answer(*fresh(), steps)
    expect(isinstance(got, list), "Your function should return a list of numbers.")
    same(len(got), len(expected), "the number of values, one a step,")
    expect(len({round(float(value), 12) for value in got}) > 1, "All values are the same, at every step.")
    for k, (value, wanted) in enumerate(zip(got, expected, strict=True)):
        same(float(value), wanted, f"G at step {k}", 1e-3)


@checker
def sign_test(answer: Callable[[list[dict[str, Any]], str, str], float]) -> None:
    """Two-sided, over the seeds in which the two networks differ."""
    cases: list[tuple[tuple[float, ...], tuple[float, ...], float]] = [
        ((0.4, 0.5, 0.3, 0.6), (0.1, 0.1, 0.1, 0.1), 0.125),
        ((0.4, 0.1, 0.3), (0.1, 0.4, 0.1), 1.0),
        ((0.4,) * 8, (0.1,) * 7 + (0.6,), 0.0703125),
        ((0.1, 0.1, 0.1), (0.1, 0.2, 0.3), 0.5),  # a tie is left out
    ]
    for one, other, p in cases:
        rows = [
            {"seed": seed, "network": name, "test accuracy": value}
            for name, values in (("skips", one), ("in between", (0.3,) * len(one)), ("He", other))
            for seed, value in enumerate(values)
        ]
        rows.reverse()  # nothing says that a record is in order
        told = f"the p value for {list(one)} against {list(other)}"
        same(answer(rows, "skips", "He"), p, told, 1e-6)
        same(answer(rows, "He", "skips"), p, f"{told}, the other way round,", 1e-6)


@checker
def l2_step(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Along the gradient itself, each image by the same L2 length, and still a picture."""
    x, gradient = torch.full((2, 1, 2, 2), 100.0), torch.tensor([[3.0, 4.0, 0, 0], [0, 0, -1e-3, 0]])
    moved = answer(x.clone(), gradient.view(2, 1, 2, 2), 10.0)
    expected = torch.tensor([[106.0, 108, 100, 100], [100, 100, 90, 100]]).view(2, 1, 2, 2)
    same(moved, expected, "the moved image", 1e-4)
    edge = answer(torch.full((1, 1, 1, 2), 250.0), torch.tensor([0.6, 0.8]).view(1, 1, 1, 2), 20.0)
    same(edge, torch.full((1, 1, 1, 2), 255.0), "an image moved beyond white")


@checker
def own_repair(answer: Callable[[int], nn.Module]) -> None:
    """A chain of 25 convolutions with PyTorch's weights and no normaliser that passes the image on."""
    torch.manual_seed(0)
    model = answer(8)
    expect(isinstance(model, nn.Module), "Return a network, a module.")
    layers = convolutions(model)
    same(len(layers), 25, "the number of convolutions")
    large = sum(layer.kernel_size == (5, 5) for layer in layers)
    expect(large >= 20, f"{large} of its convolutions are 5×5; twenty are asked for.")
    norms = sorted({type(part).__name__ for part in model.modules() if "Norm" in type(part).__name__})
    expect(not norms, f"It normalises: {', '.join(norms)}.")
    inserted = layers[1:21]
    spread = [layer.weight.var().item() * layer.weight[0].numel() for layer in inserted]
    drawn = all(0.23 < value < 0.43 for value in spread)
    expect(drawn, "Leave the weights as PyTorch draws them: n times their variance is a third.")
    x, y = torch.randn(8, 3, 32, 32), torch.arange(8)
    found = signals(model, layers, lambda: F.cross_entropy(model(x), y))
    first, last = found[0], found[-1]
    expect(first.gradient > 1e-5, f"G of the first convolution is {first.gradient:.1g}: it has vanished.")
    apart = last.gradient / first.gradient
    expect(1e-3 < apart < 1e3, f"G of the last convolution is {apart:.1g} times that of the first.")
    image = last.image / last.forward
    expect(image > 0.01, f"Of what enters the last convolution, only {image:.1g} differs between images.")
    with torch.no_grad():
        before = model(x)
        _scale(inserted[10], 3)
        moved = (model(x) - before).norm() / (before - before.mean(0)).norm()
        _scale(inserted[10], 1 / 3)
        expect(moved > 0.01, "Three times the weights of a layer change nothing behind it: it normalises.")
        # A chain is cut where one of its layers is zero.
        middle = inserted[10]
        middle.weight.zero_()
        if middle.bias is not None:
            middle.bias.zero_()
        expect(model(x).std(0).max().item() < 1e-4, "Something leads the image around a convolution: a skip.")


def _scale(layer: nn.Module, factor: float) -> None:
    for parameter in layer.parameters():
        parameter.mul_(factor)

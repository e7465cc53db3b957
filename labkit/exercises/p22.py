"""Checkers of chapter p22, CIFAR-10 and vanishing gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from labkit.data.batches import Batch
from labkit.exercises.checking import checker, expect, own_claim, same
from labkit.models.convnet import ConvNet
from labkit.models.parts import convolutions
from labkit.training.fit import cross_entropy

own_gradient_claim = checker(own_claim)


@checker
def possible_views(answer: Callable[[int, bool], int]) -> None:
    """Every shift in both directions, and each of them mirrored."""
    for padding, mirrored, views in ((0, False, 1), (1, False, 9), (4, True, 162), (2, True, 50)):
        same(answer(padding, mirrored), views, f"possible_views({padding}, {mirrored})")


@checker
def standardised(answer: Callable[[Tensor], Tensor]) -> None:
    """Each channel of the whole set has mean zero and standard deviation one."""
    x = torch.randint(0, 256, (20, 3, 5, 5), generator=Generator().manual_seed(0), dtype=torch.uint8)
    x[:, 1] //= 4  # channels that differ
    z = answer(x)
    expect(isinstance(z, Tensor), "Your function should return a tensor.")
    same(z.mean((0, 2, 3)), torch.zeros(3), "the mean of each channel", 1e-4)
    same(z.std((0, 2, 3), correction=0), torch.ones(3), "the standard deviation of each channel", 1e-3)


@checker
def signal_left(answer: Callable[[float, int], float]) -> None:
    """A ReLU layer multiplies the mean square by n sigma^2 / 2, so the signal by the root of that."""
    for scale, layers in ((1 / 3, 1), (1 / 3, 20), (2.0, 20), (1.0, 7)):
        expected = math.sqrt(scale / 2) ** layers
        same(answer(scale, layers), expected, f"signal_left({scale:.3g}, {layers})")


@checker
def gradient_magnitudes(answer: Callable[[nn.Module, Tensor, Tensor], list[float]]) -> None:
    """The largest absolute gradient of every convolution's weight, in order, from one backward pass."""
    torch.manual_seed(0)
    model = ConvNet(4, 2, batch_norm=False)
    x, y = torch.rand(8, 3, 16, 16) - 0.5, torch.arange(8)
    got = answer(model, x, y)
    model.zero_grad()
    cross_entropy(model, Batch(x, y, y)).backward()
    gradients = [convolution.weight.grad for convolution in convolutions(model)]
    expected = [gradient.abs().max().item() for gradient in gradients if gradient is not None]
    expect(got is not None, "Your function returns None; return a list of numbers.")
    same(len(got), len(expected), "the number of values, one a convolution,")
    for k, (value, wanted) in enumerate(zip(got, expected, strict=True), start=1):
        same(float(value), wanted, f"G of convolution {k}", 1e-3)


@checker
def with_skip(answer: Callable[[nn.Module, float], nn.Module]) -> None:
    """x + scale * branch(x), with the branch's weights still learning."""
    torch.manual_seed(0)
    branch, x = nn.Conv2d(4, 4, 3, padding=1), torch.rand(2, 4, 6, 6)
    module = answer(branch, 0.2)
    expect(isinstance(module, nn.Module), "Return a module: something with a forward and parameters.")
    same(module(x), x + 0.2 * branch(x), "the output for the scale 0.2")
    expect(len(list(module.parameters())) == 2, "The branch's parameters are not those of your module.")


@checker
def l2_step(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Along the gradient itself, each image by the same L2 length, and still a picture."""
    x, gradient = torch.full((2, 1, 2, 2), 100.0), torch.tensor([[3.0, 4.0, 0, 0], [0, 0, -1e-3, 0]])
    moved = answer(x.clone(), gradient.view(2, 1, 2, 2), 10.0)
    expected = torch.tensor([[106.0, 108, 100, 100], [100, 100, 90, 100]]).view(2, 1, 2, 2)
    same(moved, expected, "the moved image", 1e-4)
    edge = answer(torch.full((1, 1, 1, 2), 250.0), torch.tensor([0.6, 0.8]).view(1, 1, 1, 2), 20.0)
    same(edge, torch.full((1, 1, 1, 2), 255.0), "an image moved beyond white")

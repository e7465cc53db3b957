"""Checkers of chapter p02, networks that adapt to each image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.exercises.checking import checker, expect, own_claim, same

own_adaptive_claim = checker(own_claim)


@checker
def mixing_share(answer: Callable[[int, int, int, int, int, int], float]) -> None:
    """K kernels are added up once an image; the convolution runs at every output pixel."""
    for kernels, inputs, outputs, size, height, width in ((4, 64, 64, 3, 8, 8), (2, 3, 16, 3, 32, 16)):
        told = answer(kernels, inputs, outputs, size, height, width)
        what = f"mixing_share({kernels}, {inputs}, {outputs}, {size}, {height}, {width})"
        same(told, kernels / (height * width), what)


@checker
def temperature(answer: Callable[[int, float, int], float]) -> None:
    """Linear from the start value to 1, and 1 from then on."""
    for epoch, start, epochs, tau in ((0, 30.0, 10, 30.0), (5, 30.0, 10, 15.5), (10, 30.0, 10, 1.0)):
        same(answer(epoch, start, epochs), tau, f"temperature({epoch}, {start:.0f}, {epochs})")
    same(answer(40, 30.0, 10), 1.0, "temperature(40, 30, 10)")


@checker
def dynamic_convolution(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Each image is convolved with its own mixture of the kernels."""
    draw = Generator().manual_seed(0)
    x, kernels = torch.randn(5, 4, 6, 6, generator=draw), torch.randn(3, 8, 4, 3, 3, generator=draw)
    pi = torch.randn(5, 3, generator=draw).mul(3).softmax(1)
    mixed = torch.einsum("bk,koixy->boixy", pi, kernels)
    alone = [F.conv2d(x[b], mixed[b], padding=1) for b in range(len(x))]
    expected = torch.stack(alone)
    same(answer(x.clone(), kernels.clone(), pi.clone()), expected, "the output", 1e-4)


@checker
def straight_through(answer: Callable[[Tensor, float], Tensor]) -> None:
    """The value is 0 or 1, the gradient that of sigmoid(a / T)."""
    a = torch.tensor([-2.0, -0.1, 0.3, 4.0], requires_grad=True)
    gate = answer(a, 2 / 3)
    expect(isinstance(gate, Tensor), "Your function should return a tensor.")
    same(gate.detach(), torch.tensor([0.0, 0.0, 1.0, 1.0]), "the gate")
    expect(gate.requires_grad, "No gradient gets through your gate: its network cannot learn.")
    (gradient,) = torch.autograd.grad(gate.sum(), a)
    soft = torch.sigmoid(a.detach() / (2 / 3))
    same(gradient, soft * (1 - soft) * 1.5, "the gradient by a", 1e-4)


@checker
def shaping_penalty(answer: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]) -> None:
    """The values of each gate are sorted over the batch and compared with i/(N+1)."""

    def cdf(x: Tensor) -> Tensor:
        return x**2

    values = torch.tensor([[0.9, 0.1], [0.1, 0.1], [0.5, 0.4]])
    expected = torch.tensor(
        [
            ((0.25 - 0.01) ** 2 + (0.5 - 0.25) ** 2 + (0.75 - 0.81) ** 2) / 3,
            ((0.25 - 0.01) ** 2 + (0.5 - 0.01) ** 2 + (0.75 - 0.16) ** 2) / 3,
        ]
    )
    same(answer(values, cdf), expected, "the penalty of the two gates", 1e-4)


@checker
def conditional_share(answer: Callable[[Tensor], float]) -> None:
    """A gate is conditional where it is neither open nor closed for nearly all images."""
    gates = torch.zeros(200, 5)
    gates[:, 1] = 1.0
    gates[:100, 2] = 1.0  # open for half of the images
    gates[:1, 3] = 1.0  # for one in two hundred
    gates[:195, 4] = 1.0
    same(float(answer(gates)), 0.4, "the share of conditional gates")

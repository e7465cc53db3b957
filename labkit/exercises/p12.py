"""Checkers of chapter p12, knowledge distillation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.exercises.checking import checker, expect, own_claim, same


@checker
def sizes(answer: Callable[[list[int]], tuple[int, int]]) -> None:
    """Those of the paper's networks, and one by hand."""
    for widths, parameters, products in (
        ([3, 2], 8, 6),
        ([784, 1200, 1200, 10], 2_395_210, 2_392_800),
        ([784, 30, 30, 10], 24_790, 24_720),
    ):
        found = tuple(answer(list(widths)))
        same(found, (parameters, products), f"sizes({widths})")


@checker
def how_warm(answer: Callable[[Tensor, float], float]) -> None:
    """The largest probability at the temperature is the one asked for."""
    for v, confidence in (
        ([8.0, 4.0, 3.0, 0.0, -2.0], 0.5),
        ([1.0, 0.0], 0.99),
        ([30.0, 28.0, -30.0], 0.34),
        ([0.2, 0.1, 0.0, -0.1], 0.9),
    ):
        temperature = float(answer(torch.tensor(v), confidence))
        expect(temperature > 0, f"For the logits {v} your temperature is {temperature:g}.")
        found = float((torch.tensor(v).double() / temperature).softmax(0).max())
        told = f"For the logits {v}, at your temperature {temperature:.4g} the largest probability is"
        expect(abs(found - confidence) < 0.001 * confidence, f"{told} {found:.4f}, not {confidence}.")


@checker
def repaired(answer: Callable[[Tensor, Tensor, Tensor, float, float], Tensor]) -> None:
    """Value by the definition, with one part at a time to say where it is off."""
    draw = Generator().manual_seed(0)
    z, v = (3 * torch.randn(6, 10, generator=draw).double() for _ in range(2))
    y = torch.randint(10, (6,), generator=draw)
    for temperature in (1.0, 4.0):
        p, q = (v / temperature).softmax(1), (z / temperature).softmax(1)
        kl = (p * (p.log() - q.log())).sum(1).mean().item()
        told = f"at T = {temperature:g}"
        hard = F.cross_entropy(z, y).item()
        same(float(answer(z, v, y, temperature, 0.0)), hard, f"the part of the labels {told}")
        same(float(answer(z, v, y, temperature, 1.0)), temperature**2 * kl, f"the soft part {told}")
        both = 0.3 * temperature**2 * kl + 0.7 * hard
        same(float(answer(z, v, y, temperature, 0.3)), both, f"the loss with alpha = 0.3 {told}")


@checker
def smoothing(answer: Callable[[float, float, float, int], float]) -> None:
    """Both losses are the same for random logits."""
    draw = Generator().manual_seed(0)
    cases = ((0.1, 0.99, 20.0, 10), (0.5, 0.9, 1.0, 3), (0.3, 0.95, 2.0, 100))
    for alpha, correct, temperature, classes in cases:
        z = torch.randn(4, classes, generator=draw).double()
        y = torch.randint(classes, (4,), generator=draw)
        virtual = torch.full((4, classes), (1 - correct) / (classes - 1)).double()
        p = (virtual.scatter(1, y.unsqueeze(1), correct) / temperature).softmax(1)
        expected = (1 - alpha) * F.cross_entropy(z, y) + alpha * F.cross_entropy(z, p)
        called = f"smoothing({alpha}, {correct}, {temperature:g}, {classes})"
        epsilon = float(answer(alpha, correct, temperature, classes))
        expect(0 <= epsilon <= 1, f"{called} is {epsilon:.4g}, which is no share.")
        found = F.cross_entropy(z, y, label_smoothing=epsilon)
        near = math.isclose(found.item(), expected.item(), rel_tol=1e-5)
        expect(near, f"With {called} = {epsilon:.6g} label smoothing has another loss.")


@checker
def best_bias(answer: Callable[[Tensor, Tensor, int], float]) -> None:
    """As few errors as any number leaves, where a grid is too coarse or too short."""
    for seed, spread, level in ((0, 1.0, 3.0), (1, 0.002, 3.0), (2, 1.0, 60.0)):
        draw = Generator().manual_seed(seed)
        y = torch.randint(5, (200,), generator=draw)
        z = spread * (torch.randn(200, 5, generator=draw) + 2 * F.one_hot(y, 5))
        z[:, 2] -= level * spread
        bias = float(answer(z.clone(), y, 2))
        tried = torch.linspace(-5 * spread, (level + 10) * spread, 20_001)
        others = z.clone()
        others[:, 2] = -torch.inf
        turn = others.amax(1) - z[:, 2]
        without = (others.argmax(1) != y).long()
        wrong = torch.where(tried[:, None] > turn, (y != 2).long(), without).sum(1)
        moved = z.clone()
        moved[:, 2] += bias
        left = int((moved.argmax(1) != y).sum())
        least = int(wrong.min())
        expect(left <= least, f"With {bias:.4g} added, {left} of 200 are wrong; {least} would be possible.")


@checker
def from_the_deepest(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Value by hand, no gradient for the deepest exit, and the right one for the others."""
    z = (2 * torch.randn(4, 3, 5, generator=Generator().manual_seed(0))).double().requires_grad_()
    for temperature in (1.0, 3.0):
        loss = answer(z, temperature)
        p, q = (z.detach()[:, 2] / temperature).softmax(1), (z.detach() / temperature).softmax(2)
        expected = -sum((p * q[:, k].log()).sum(1).mean() for k in range(2)) * temperature**2
        same(loss.item(), float(expected), f"the loss at T = {temperature:g}")
        (gradient,) = torch.autograd.grad(loss, z)
        expect(not bool(gradient[:, 2].abs().max() > 0), "The gradient of the deepest exit is not zero.")
        for k in range(2):
            wanted = temperature * (q[:, k] - p) / 4
            same(gradient[:, k], wanted, f"the gradient of exit {k + 1} at T = {temperature:g}")


@checker
def share_closed(answer: Callable[[list[dict[str, Any]], list[dict[str, Any]], str], float]) -> None:
    """The mean of shares, each of its own seed."""
    networks = [
        {"seed": seed, "network": name, "errors": errors}
        for seed, floor in enumerate((60.0, 60.0, 80.0))
        for name, errors in (("large", 140.0), ("teacher", floor), ("wide", 150.0))
    ]
    by_seed = (("labels", (140.0, 160.0, 100.0)), ("soft targets", (100.0, 60.0, 95.0)))
    students = [
        {"seed": seed, "student": student, "targets": targets, "errors": errors + extra}
        for student, extra in (("large", 0.0), ("narrow", 300.0))
        for targets, values in by_seed
        for seed, errors in enumerate(values)
    ]
    students.reverse()
    same(float(answer(networks, students, "large")), 1.75 / 3, "the share, 0.5, 1 and 0.25 in three seeds,")
    narrow = (40 / 380 + 100 / 400 + 5 / 320) / 3
    same(float(answer(networks, students, "narrow")), narrow, "the share of the narrow student")


own_teacher_claim = checker(own_claim)

"""Checkers of chapter p13, lesions and BlockDrop."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.adaptive.blockdrop import explored, log_probability
from labkit.exercises.checking import checker, expect, own_claim, same
from labkit.models.resnet import BasicBlock

own_lesion_claim = checker(own_claim)


def _draw(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@checker
def paths_left(answer: Callable[[int, int, int], int]) -> None:
    """Subsets of the blocks that are left, up to a size."""
    for blocks, deleted, longest in ((3, 1, 2), (5, 2, 1), (27, 8, 10), (4, 0, 4), (4, 4, 3)):
        left = blocks - deleted
        expected = sum(math.comb(left, n) for n in range(min(longest, left) + 1))
        same(answer(blocks, deleted, longest), expected, f"paths_left({blocks}, {deleted}, {longest})")


@checker
def tau(answer: Callable[[list[int]], float]) -> None:
    """The share of pairs in order less the share out of order."""
    for order, expected in (
        ([0, 1, 2, 3], 1.0),
        ([3, 2, 1, 0], -1.0),
        ([1, 0, 2], 1 / 3),
        ([2, 0, 1, 4, 3], 0.4),
        ([5, 1, 2, 3, 4, 0], -0.2),
    ):
        same(float(answer(list(order))), expected, f"tau({order})", 1e-6)


@checker
def deleted(answer: Callable[[BasicBlock, Tensor], Tensor]) -> None:
    """ReLU of the shortcut, of identity and projection alike."""
    for k, (inputs, outputs, stride) in enumerate(((4, 4, 1), (4, 8, 2))):
        torch.manual_seed(k)
        block = BasicBlock(inputs, outputs, stride).eval()
        x = torch.randn(2, inputs, 6, 6, generator=_draw(k))
        with torch.no_grad():
            expected = F.relu(block.shortcut(x))
            what = "where the skip is the identity" if stride == 1 else "where the skip is a projection"
            same(answer(block, x.clone()), expected, f"what is left {what}")


@checker
def exact_gradient(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The gradient of the mean reward over all policies, row by row of their enumeration."""
    for blocks in (2, 3):
        every = torch.tensor(list(product((False, True), repeat=blocks)))
        rewards = torch.randn(2**blocks, generator=_draw(blocks))
        logits = torch.randn(blocks, generator=_draw(7), requires_grad=True)
        s = logits.sigmoid()
        total = (log_probability(every, s, blocks).exp() * rewards).sum()
        [expected] = torch.autograd.grad(total, logits)
        found = answer(logits.detach().clone(), rewards.clone())
        same(found, expected, f"the gradient for {blocks} blocks", 1e-4)


@checker
def policy_loss(answer: Callable[[Tensor, Tensor, Tensor, int, float], Tensor]) -> None:
    """Minus advantage times log-probability of the free blocks, by the probabilities that were drawn from."""
    s = torch.rand(6, 4, generator=_draw(1))
    keep = torch.rand(6, 4, generator=_draw(2)) < 0.5
    advantage = torch.randn(6, generator=_draw(3))
    for free in (4, 2):
        given = keep | (torch.arange(4) < 4 - free)
        expected = -(advantage * log_probability(given, explored(s, 0.8), free)).mean()
        told = answer(s.clone(), given.clone(), advantage.clone(), free, 0.8)
        expect(
            isinstance(told, Tensor) and told.ndim == 0, "Your function should return a tensor of one number."
        )
        same(told, expected, f"the loss with {free} of 4 blocks free")


@checker
def as_random(answer: Callable[[Tensor], Tensor]) -> None:
    """As many blocks for every image, all sets of that size alike, and each image its own."""
    many = 2_000
    counts = torch.arange(many) % 5  # of four blocks
    keep = torch.arange(4) < counts.unsqueeze(1)
    torch.manual_seed(0)
    found = answer(keep.clone())
    expect(
        isinstance(found, Tensor) and found.shape == keep.shape, "Return policies of the same shape, (N, K)."
    )
    expect(found.dtype == torch.bool, "Policies are of type bool.")
    expect(bool((found.sum(1) == counts).all()), "Some images get another number of blocks than they had.")
    shares = found[counts == 2].double().mean(0)
    told = [round(share, 2) for share in shares.tolist()]
    expect(
        bool(((shares - 0.5).abs() < 0.1).all()),
        f"With two of four blocks, they are kept in {told} of cases.",
    )
    pairs = len(found[counts == 2].unique(dim=0))
    expect(pairs == 6, f"With two of four blocks there are 6 policies; yours has {pairs} of them.")


@checker
def over_static(answer: Callable[[list[dict[str, Any]]], float]) -> None:
    """BlockDrop against the static curve of its own seed, at its own number of blocks."""
    rows: list[dict[str, Any]] = []
    for seed, (at, accuracy) in enumerate(((2.25, 0.70), (1.5, 0.60))):
        rows.append({"seed": seed, "arm": "BlockDrop", "blocks": at, "accuracy": accuracy})
        for blocks, static in ((1, 0.2 + 0.2 * seed), (2, 0.5 + 0.1 * seed), (3, 0.8)):
            rows.append({"seed": seed, "arm": "greedy static policy", "blocks": blocks, "accuracy": static})
            rows.append({"seed": seed, "arm": "random blocks", "blocks": blocks, "accuracy": static / 2})
    rows.reverse()  # nothing says that a record is in order
    got = float(answer(rows))
    expected = ((0.70 - 0.575) + (0.60 - 0.50)) / 2
    expect(
        abs(got - expected) < 1e-6, f"The mean difference is {got:.5g}; for these rows it is {expected:.5g}."
    )

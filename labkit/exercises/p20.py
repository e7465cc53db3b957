"""Checkers of chapter p20, attacks that only ask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.exercises.checking import checker, expect, same


@checker
def queries_of(answer: Callable[[int, int], int]) -> None:
    """A start, and for each round a bisection, its probes and a step; one bisection more at the end."""
    same(answer(0, 10), 21, "queries_of(0, 10), which is a start and one bisection,", 0)
    same(answer(1, 13), 11 + 13 + 100 + 1 + 13, "queries_of(1, 13)", 0)
    same(answer(2, 18), 11 + 18 * 3 + 100 + 141 + 2, "queries_of(2, 18)", 0)
    probes = sum(math.isqrt(10_000 * t) for t in range(1, 18))
    same(answer(17, 13), 11 + 13 * 18 + probes + 17, "queries_of(17, 13)", 0)


@checker
def probes_for(answer: Callable[[float, int], int]) -> None:
    """The smallest B whose expected cosine on a plane reaches the one asked for."""
    for cosine, dimensions in ((0.5, 3072), (0.1, 3072), (0.5, 150_528), (0.9, 10)):
        name, found = f"probes_for({cosine}, {dimensions})", answer(cosine, dimensions)
        expect(isinstance(found, int), f"{name} should be a whole number.")
        for probes, enough in ((found, True), (found - 1, False)):
            reached = 0.0 if probes <= 0 else (1 + math.pi * dimensions / (2 * probes)) ** -0.5
            told = "is enough" if enough else "is not the smallest"
            expect((reached >= cosine) is enough, f"{name} is {found}: check that it {told}.")


@checker
def to_the_boundary(answer: Callable[..., Tensor]) -> None:
    """The misread end of a bisection, near enough, with no query more than it takes."""
    for edge, tolerance in ((0.3, 1e-3), (0.9, 0.01), (0.01, 1e-4)):
        asked: list[float] = []

        def misread(picture: Tensor, edge: float = edge, asked: list[float] = asked) -> bool:
            asked.append(float((picture[0] - 1) / 4))
            return asked[-1] > edge

        original, picture = torch.tensor([1.0, 2.0]).double(), torch.tensor([5.0, 2.0]).double()
        share = float((answer(misread, original, picture, tolerance)[0] - 1) / 4)
        told = f"With the boundary at {edge} of the way, your picture is at {share:.6f} of it"
        expect(share > edge, f"{told}: it is not misread.")
        expect(share - edge <= tolerance * 1.001, f"{told}: that is farther than {tolerance:g} off.")
        most = math.ceil(math.log2(1 / tolerance))
        expect(len(asked) <= most, f"You asked {len(asked)} times; {most} are enough for {tolerance:g}.")


@checker
def normals_of_all(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Each image gets in company what it gets alone."""
    draw = Generator().manual_seed(0)
    probes = F.normalize(torch.randn(40, 3, 6, generator=draw), dim=2)
    found = torch.rand(40, 3, generator=draw) < torch.tensor([0.5, 0.9, 2.0])  # the last: all of them
    alone = []
    for i in range(3):
        phi = found[:, i].float() * 2 - 1
        centred = phi if found[:, i].all() else phi - phi.mean()
        alone.append(F.normalize(centred @ probes[:, i], dim=0))
    got = answer(found.clone(), probes.clone())
    lengths = got.norm(dim=-1)
    expect(
        bool((lengths - 1).abs().max() < 1e-4), f"The lengths are {[round(x, 3) for x in lengths.tolist()]}."
    )
    for i, told in enumerate(
        ("half of whose answers are yes", "with nearly only yes", "with nothing but yes")
    ):
        same(got[i], alone[i], f"the normal of the image {told}", 1e-4)
    none = answer(torch.zeros(40, 3, dtype=torch.bool), probes.clone())
    same(
        none[0], -F.normalize(probes[:, 0].mean(0), dim=0), "the normal of an image with nothing but no", 1e-4
    )


@checker
def proposal(answer: Callable[..., Tensor]) -> None:
    """Around by the angle whose tangent is the step, then inwards."""
    original, picture = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 1.0])
    told = "the proposal from (3, 1) around (1, 1)"
    for direction in ([0.0, 1.0], [0.0, 5.0], [7.0, 2.0]):  # all the same, at right angles
        found = answer(original, picture, torch.tensor(direction), 0.75, 0.1)
        same(found, torch.tensor([1 + 1.8 * 0.8, 1 + 1.8 * 0.6]), f"{told} along {direction}", 1e-4)
    draw = Generator().manual_seed(1)
    start, to, way = (torch.randn(20, generator=draw) for _ in range(3))
    found = answer(start, to, way, 0.2, 0.0)
    same((found - start).norm(), (to - start).norm(), "the distance with no step inwards", 1e-4)


@checker
def crossing(answer: Callable[[list[dict[str, Any]], str, str], float]) -> None:
    """The first common number of queries at which one is below the other, median over seeds."""
    curves = {  # by seed: of a, of b
        0: ({100: 2.0, 500: 1.0, 1000: 0.5}, {100: 1.0, 500: 0.9, 1000: 0.7}),
        1: ({100: 2.0, 500: 0.8, 1000: 0.9}, {100: 1.0, 500: 0.9, 1000: 0.8}),
        2: ({100: 2.0, 300: 0.1, 1000: 0.6}, {100: 1.0, 1000: 0.7}),
    }
    rows: list[dict[str, Any]] = [
        {"seed": seed, "attack": name, "queries": queries, "median L2": value}
        for seed, both in curves.items()
        for name, curve in zip("ab", both, strict=True)
        for queries, value in curve.items()
    ]
    rows.reverse()
    same(
        answer(rows, "a", "b"),
        1000,
        "where a comes below b, at 1000, 500 and 1000 queries in three seeds,",
        1e-6,
    )
    same(answer(rows, "b", "a"), 100, "where b comes below a, at once,", 1e-6)
    two = [row for row in rows if row["seed"] < 2]
    same(answer(two, "a", "b"), 750, "the median over two seeds, 1000 and 500,", 1e-6)
    never = [row | {"median L2": 9.0} if row["attack"] == "a" else row for row in rows]
    expect(math.isinf(answer(never, "a", "b")), "Where a never comes below b the answer is infinite.")


@checker
def own_probes(answer: Callable[[int, int, int, Generator], Tensor]) -> None:
    """On planes with a smooth normal, the average of their answers is nearer to it than white noise's."""
    shape, count = (3, 32, 32), 200
    mine, white = [], []
    for k in range(6):
        draw = Generator().manual_seed(k)
        rough = torch.randn(1, 3, 5, 5, generator=draw)
        normal = F.normalize(F.interpolate(rough, size=(32, 32), mode="bicubic").flatten(), dim=0)
        probes = answer(count, *shape[:2], draw)
        expect(probes.shape == (count, *shape), f"The shape is {tuple(probes.shape)}, not {(count, *shape)}.")
        flat = probes.flatten(1)
        expect(bool((flat.norm(dim=1) - 1).abs().max() < 1e-3), "A probe's length is not one.")
        mine.append(_cosine(flat, normal))
        white.append(_cosine(F.normalize(torch.randn(count, flat.shape[1], generator=draw), dim=1), normal))
    ratio = sum(mine) / sum(white)
    expect(ratio >= 1.5, f"Your cosine is {ratio:.2f} times that of white noise; 1.5 are asked for.")
    other = answer(4, *shape[:2], Generator().manual_seed(99))
    expect(not torch.allclose(other[0], other[1]), "All probes are the same; draw each of them anew.")


def _cosine(probes: Tensor, normal: Tensor) -> float:
    return float(F.normalize((probes @ normal).sign() @ probes, dim=0) @ normal)

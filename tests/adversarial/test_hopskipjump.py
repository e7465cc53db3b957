"""HopSkipJump against a plane, where the boundary, its normal and every count are known."""

from __future__ import annotations

import math

import pytest
import torch
from linear_victim import Plane, images, seen
from torch import nn

from labkit.adversarial.black_box.boundary import bisections, generators, start, to_boundary
from labkit.adversarial.black_box.hopskipjump import estimated_normal, hop_skip_jump, normals, stepped
from labkit.adversarial.black_box.oracle import Oracle
from labkit.errors import LabkitError


class Stubborn(nn.Module):
    """Class 0, whatever it is shown."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nothing = x.flatten(1).sum(1) * 0
        return torch.stack([nothing + 1, nothing], 1)


def attacked(n: int = 6, budget: int = 2000, **options) -> tuple[Plane, torch.Tensor, Oracle]:
    model, x = Plane(), images(n)
    oracle = Oracle(model, x, seen(model, x), budget=budget, **options)
    return model, x, oracle


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_the_distance_comes_near_the_exact_one_and_never_below(norm) -> None:
    model, x, oracle = attacked(4, budget=4000, norm=norm)
    hop_skip_jump(oracle, 0)
    ratio = oracle.distance / model.exact(x, norm)
    assert ratio.min() >= 0.9999
    assert ratio.max() < (1.15 if norm == "L2" else 1.6)


def test_what_is_kept_is_adversarial_inside_the_box_and_that_far() -> None:
    model, x, oracle = attacked(budget=700)
    hop_skip_jump(oracle, 0)
    assert (seen(model, oracle.best * 255) != seen(model, x)).all()
    assert oracle.best.min() >= 0
    assert oracle.best.max() <= 1
    assert torch.allclose((oracle.best - x / 255).flatten(1).norm(dim=1), oracle.distance)


def test_the_budget_is_used_up_but_for_what_is_too_little_for_a_round() -> None:
    _, _, oracle = attacked(budget=500)
    hop_skip_jump(oracle, 0)
    assert (oracle.asked <= 500).all()
    assert (oracle.left < 40).all()


def test_even_a_tiny_budget_ends() -> None:
    for budget in (1, 11, 12, 30, 60):
        _, _, oracle = attacked(2, budget)
        hop_skip_jump(oracle, 0)
        assert (oracle.asked <= budget).all()


def test_an_image_is_attacked_the_same_in_any_company() -> None:
    _, _, alone = attacked(2, 800)
    _, _, together = attacked(6, 800)
    hop_skip_jump(alone, 5)
    hop_skip_jump(together, 5)
    assert torch.equal(alone.distance, together.distance[:2])
    assert torch.equal(alone.asked, together.asked[:2])


def test_the_seed_decides() -> None:
    results = []
    for seed in (1, 1, 2):
        _, _, oracle = attacked(2, 400)
        hop_skip_jump(oracle, seed)
        results.append(oracle.distance.tolist())
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_targeted_attacks_start_from_images_and_end_in_the_target(norm) -> None:
    model = Plane()
    x = images(4)
    goal = 1 - seen(model, x)
    push = 2 * torch.where(goal == 1, -1, 1).view(-1, 1, 1, 1) * model.weight.view(1, 3, 8, 8)
    starts = (x / 255 + push).clamp(0, 1)
    oracle = Oracle(model, x, goal, budget=900, targeted=True, norm=norm)
    hop_skip_jump(oracle, 0, images=starts.detach())
    assert (seen(model, oracle.best * 255) == goal).all()
    assert (oracle.distance / model.exact(x, norm)).max() < 2.5


def test_images_to_start_from_have_to_be_adversarial() -> None:
    _, _, oracle = attacked(3)
    with pytest.raises(LabkitError, match="3 of the 3 images to start from"):
        hop_skip_jump(oracle, 0, images=oracle.originals)


def test_where_no_noise_is_adversarial_nothing_is_found() -> None:
    oracle = Oracle(Stubborn(), images(2), torch.tensor([0, 0]), budget=40)
    hop_skip_jump(oracle, 0)
    assert oracle.distance.tolist() == [torch.inf, torch.inf]
    assert oracle.asked.tolist() == [30, 30]  # it stops where a blend would not fit in any more


def test_a_bisection_costs_what_it_says_and_ends_within_its_tolerance() -> None:
    assert [bisections(t) for t in (0.5, 0.25, 0.001, 1 / (3072 * math.sqrt(3072)))] == [1, 2, 10, 18]
    model, x, oracle = attacked(3)
    far, ids = start(oracle, generators(oracle, 0))
    before = oracle.asked.clone()
    near = to_boundary(oracle, far, ids, 0.001, "L2")
    assert (oracle.asked - before).tolist() == [10, 10, 10]
    assert (seen(model, near * 255) != seen(model, x)).all()
    step = 0.0011 * (far - oracle.originals)
    assert (seen(model, (near - step) * 255) == seen(model, x)).all()


def test_queries_of_a_first_round_by_hand() -> None:
    # 1 of noise (a plane: about every other is adversarial), 10 to blend, 14 to the boundary, 100 probes,
    # 1 or more for the step and 14 to the boundary again.
    _, _, oracle = attacked(8, budget=10_000)
    draws = generators(oracle, 0)
    x, ids = start(oracle, draws)
    tries = oracle.asked - 10
    assert tries.min() == 1
    back = bisections(0.01 / math.sqrt(192))
    assert back == 11
    x = to_boundary(oracle, x, ids, 0.01 / math.sqrt(192), "L2")
    direction = normals(oracle, x, ids, torch.full((8,), 0.1), [100] * 8, draws)
    assert (oracle.asked - tries).tolist() == [10 + 11 + 100] * 8
    stepped(oracle, x, ids, direction, torch.full((8,), 1e-3), 0)
    assert (oracle.asked - tries).tolist() == [10 + 11 + 100 + 1] * 8


def test_a_step_is_halved_until_it_is_adversarial_and_given_up_in_the_end() -> None:
    class Slab(nn.Module):
        """Class 1 where the only pixel is 0.5 to 0.6."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inside = ((x.flatten(1)[:, 0] / 255 - 0.55).abs() < 0.05).float()
            return torch.stack([0.5 - inside, inside - 0.5], 1)

    oracle = Oracle(Slab(), torch.zeros(2, 1, 1, 1), torch.tensor([0, 0]), budget=100)
    x = torch.tensor([0.51, 0.51]).view(2, 1, 1, 1)
    direction = torch.tensor([1.0, -1]).view(2, 1, 1, 1)
    moved = stepped(oracle, x, torch.arange(2), direction, torch.full((2,), 0.4), 0)
    assert moved.flatten().tolist() == pytest.approx([0.56, 0.51 - 0.4 / 64])
    assert oracle.asked.tolist() == [4, 7]  # 0.4 to 0.05, and 0.4 to 0.00625
    edge = torch.tensor([0.5001]).view(1, 1, 1, 1)
    before = oracle.asked.clone()
    kept = stepped(oracle, edge, torch.tensor([1]), -torch.ones(1, 1, 1, 1) * 1e12, torch.tensor([0.4]), 0)
    assert kept.item() == edge.item()
    assert (oracle.asked - before).tolist() == [0, 40]


def test_the_estimate_by_hand() -> None:
    probes = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    found = torch.tensor([True, True, True, False])
    # Mean phi is 1/2: weights are 1/2, 1/2, 1/2 and -3/2.
    assert torch.allclose(estimated_normal(found, probes), torch.tensor([0.0, 1.0]))
    lone = torch.tensor([[3.0, 4.0]])
    assert torch.allclose(estimated_normal(torch.tensor([True]), lone), torch.tensor([0.6, 0.8]))
    assert torch.allclose(estimated_normal(torch.tensor([False]), lone), -torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize("probes", [50, 400, 3000])
def test_the_cosine_with_the_true_normal_is_that_of_theory(probes: int) -> None:
    # On the plane: E cos = sqrt(2 B / (pi d)) / sqrt(1 + 2 B / (pi d)), for B probes of d numbers.
    model, x, oracle = attacked(30, 10**6)
    ids = torch.arange(30)
    height = model.height(x).detach()
    on = oracle.originals - (height.view(-1, 1, 1, 1) * model.weight.view(1, 3, 8, 8)).detach()
    found = normals(oracle, on, ids, torch.full((30,), 0.01), [probes] * 30, generators(oracle, 1))
    outwards = torch.where(height > 0, -1.0, 1.0)
    cosine = (found.flatten(1) @ model.weight.detach() * outwards).mean().item()
    share = 2 * probes / (math.pi * 192)
    assert cosine == pytest.approx(math.sqrt(share / (1 + share)), abs=0.03)


def test_probes_that_leave_the_box_count_as_what_they_became() -> None:
    """On a black picture half of every probe is clipped away; the estimate must not point into the wall."""
    seen_probes = []

    class Watched(Oracle):
        def ask(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            seen_probes.append(x.clone())
            return super().ask(x, ids)

    black = torch.zeros(1, 3, 8, 8)
    oracle = Watched(Stubborn(), black, torch.tensor([0]), budget=10**5)
    draws = generators(oracle, 0)
    found = normals(oracle, oracle.originals, torch.tensor([0]), torch.tensor([0.5]), [2000], draws)
    assert found.max() <= 0  # none is adversarial, and what was asked about is nowhere below black
    assert seen_probes[0].min() == 0

"""The Biased Boundary Attack, its proposals and its three biases."""

from __future__ import annotations

import math

import pytest
import torch
from linear_victim import Plane, images, seen
from torch import nn

from labkit.adversarial.black_box import biased_boundary
from labkit.adversarial.black_box.biased_boundary import biased_boundary_attack, proposed
from labkit.adversarial.black_box.distance import length
from labkit.adversarial.black_box.oracle import Oracle
from labkit.adversarial.black_box.perlin import Perlin
from labkit.adversarial.black_box.sphere import across, unit
from labkit.adversarial.black_box.surrogate import POINTS, gradients

WITHOUT = {"frequency": None, "mask": False}
ALL = {"frequency": 3, "mask": True, "surrogate": Plane()}


class Watched(Oracle):
    """Keeps what it is asked."""

    def ask(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        found = super().ask(x, ids)
        self.log = [*getattr(self, "log", []), (x.clone(), ids.clone(), found)]
        return found


def victim(n: int = 4, budget: int = 600, **options) -> tuple[Plane, torch.Tensor, Watched]:
    model, x = Plane(), images(n)
    return model, x, Watched(model, x, seen(model, x), budget=budget, **options)


@pytest.mark.parametrize("biases", [WITHOUT, ALL], ids=["without", "all"])
def test_it_comes_near_the_plane_and_what_it_keeps_is_adversarial(biases) -> None:
    model, x, oracle = victim(budget=700)
    biased_boundary_attack(oracle, 0, **biases)
    ratio = oracle.distance / model.exact(x)
    assert ratio.min() >= 0.9999
    assert ratio.max() < 5
    assert (seen(model, oracle.best * 255) != seen(model, x)).all()
    assert (oracle.asked == 700).all()


@pytest.mark.parametrize("biases", [WITHOUT, ALL], ids=["without", "all"])
def test_with_levels_questions_are_such_pictures_and_walks_go_on_from_what_was_asked(biases) -> None:
    _, _, oracle = victim(1, 300)
    biased_boundary_attack(oracle, 1, **biases, levels=256)
    first = next(k for k, (_, _, found) in enumerate(oracle.log) if found.any()) + 11  # blended by then
    walk = oracle.log[first:]
    reached = torch.inf
    for asked, ids, found in walk:
        levels = asked * 255
        assert torch.allclose(levels, levels.round(), atol=1e-4)
        assert asked.min() >= 0
        assert asked.max() <= 1
        far = length(asked - oracle.originals[ids]).item()
        assert far < reached * 1.006  # a proposal steps inwards; rounding to 8 bits can undo that
        reached = min(reached, far) if found.item() else reached
    assert reached < torch.inf


def test_a_walk_goes_on_from_the_picture_that_was_asked_about(monkeypatch) -> None:
    _, _, oracle = victim(1, 300)
    places = []

    def watched(originals, source, *rest):
        places.append(originals - source)
        return proposed(originals, source, *rest)

    monkeypatch.setattr(biased_boundary, "proposed", watched)
    biased_boundary_attack(oracle, 1, **WITHOUT, levels=32)
    assert not torch.equal(places[-1], places[0])
    for place in places:
        moved = not torch.allclose(place, places[0], atol=1e-5)
        assert not moved or torch.allclose(place * 31, (place * 31).round(), atol=1e-4)
    assert torch.allclose(places[-1], oracle.best, atol=1e-6)


def test_those_that_go_on_do_not_notice_who_has_stopped() -> None:
    results = []
    for budget in ([150, 150, 150], [150, 70, 150]):
        _, _, oracle = victim(3, torch.tensor(budget))
        biased_boundary_attack(oracle, 3, **ALL)
        assert oracle.asked.tolist() == budget
        results.append(oracle.best[[0, 2]])
    assert torch.equal(*results)


def test_an_image_is_attacked_the_same_in_any_company() -> None:
    results = []
    for n in (2, 5):
        _, _, oracle = victim(n, 150)
        biased_boundary_attack(oracle, 3, **ALL)
        results.append(oracle.distance[:2])
    assert torch.equal(*results)


def test_targeted_ends_in_the_target_and_the_surrogate_helps_there() -> None:
    model, x = Plane(), images(4)
    goal = 1 - seen(model, x)
    push = 3 * torch.where(goal == 1, -1, 1).view(-1, 1, 1, 1) * model.weight.view(1, 3, 8, 8)
    starts = (x / 255 + push).clamp(0, 1).detach()
    reached = []
    for surrogate in (None, model):
        oracle = Oracle(model, x, goal, budget=150, targeted=True)
        biased_boundary_attack(oracle, 0, images=starts, **WITHOUT, surrogate=surrogate)
        assert (seen(model, oracle.best * 255) == goal).all()
        reached.append(oracle.distance.mean().item())
    assert reached[1] < reached[0]


def test_a_proposal_by_hand() -> None:
    originals, source = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0.3, 0.0]).view(1, 1, 1, 2)
    sideways = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    found = proposed(originals, source, sideways, torch.tensor([0.75]), torch.tensor([0.1]))
    # From (0.2, 0.5) along the tangent by 0.75 of 0.3, back to the circle (angle of tan 3/4), then inwards.
    assert torch.allclose(found.flatten(), 0.5 + 0.9 * 0.3 * torch.tensor([-0.8, 0.6]))


def test_a_proposal_that_leaves_the_box_is_put_back_on_the_sphere() -> None:
    originals, source = torch.full((1, 1, 1, 2), 0.9), torch.tensor([0.0, 0.3]).view(1, 1, 1, 2)
    up = torch.tensor([1.0, 0]).view(1, 1, 1, 2)
    found = proposed(originals, source, up, torch.tensor([1.0]), torch.tensor([0.0]))
    assert found.max() <= 1
    assert length(found - originals).item() <= 0.3 + 1e-6


def test_perlin_noise_has_length_one_and_is_new_each_time() -> None:
    perlin = Perlin(3, 32, 5)
    draw = torch.Generator().manual_seed(0)
    noise = perlin(draw, 20)
    assert noise.shape == (20, 3, 32, 32)
    assert torch.allclose(noise.flatten(1).norm(dim=1), torch.ones(20))
    assert not torch.allclose(noise[:, 0], noise[:, 1], atol=1e-3)
    assert not torch.allclose(noise, perlin(draw, 20), atol=1e-3)


@pytest.mark.parametrize("frequency", [2, 5])
def test_perlin_noise_has_low_frequencies_only(frequency: int) -> None:
    noise = Perlin(1, 32, frequency)(torch.Generator().manual_seed(0), 200)[:, 0]
    power = torch.fft.fft2(noise).abs().square().mean(0)
    at = torch.fft.fftfreq(32, 1 / 32).abs()
    low = (at[:, None] <= 2 * frequency) & (at <= 2 * frequency)
    assert (power * low).sum() / power.sum() > 0.95
    white = torch.fft.fft2(torch.randn(200, 32, 32)).abs().square().mean(0)
    assert (white * low).sum() / white.sum() < 0.6


def test_perlin_noise_is_zero_on_its_lattice_and_as_perlin_says_between() -> None:
    perlin = Perlin(1, 8, 2)  # lattice points at pixels 0 and 4
    gradient = torch.zeros(9, 2)
    gradient[0] = torch.tensor([1.0, 0])  # down, at the corner
    pattern = (gradient.flatten() @ perlin.basis).view(8, 8)
    assert pattern[0, 0] == 0
    t = 0.25
    fade = 6 * t**5 - 15 * t**4 + 10 * t**3
    assert pattern[1, 0].item() == pytest.approx((1 - fade) * t)
    assert pattern[1, 1].item() == pytest.approx((1 - fade) ** 2 * t)
    assert pattern[4:].abs().max() == 0
    assert pattern[:, 4:].abs().max() == 0


def test_across_takes_away_what_points_to_the_original() -> None:
    towards = unit(torch.randn(5, 3, 4, 4))
    sideways = across(torch.randn(5, 3, 4, 4), towards)
    assert (sideways * towards).flatten(1).sum(1).abs().max() < 1e-5
    assert torch.equal(unit(torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("targeted", [False, True])
def test_surrogate_gradients_lie_across_and_point_where_it_is_more_adversarial(targeted: bool) -> None:
    model = Plane()
    x = images(3) / 255
    source = 0.3 * unit(torch.randn(3, 3, 8, 8))
    wanted = seen(model, x * 255)
    draws = [torch.Generator().manual_seed(k) for k in range(3)]
    found = gradients(model.train(), x, source, wanted, draws, targeted=targeted)
    assert found.shape == (3, POINTS, 3, 8, 8)
    assert model.training
    assert torch.allclose(found.flatten(2).norm(dim=2), torch.ones(3, POINTS), atol=1e-5)
    along = (found.flatten(2) * unit(source).flatten(1)[:, None]).sum(2)
    assert along.abs().max() < 1e-5
    sign = torch.where(wanted == 0, -1.0, 1.0) * (-1 if targeted else 1)
    assert ((found.flatten(2) @ model.weight.detach()) * sign[:, None] > 0).all()


def test_a_mask_keeps_the_walk_where_the_picture_differs() -> None:
    class First(nn.Module):
        """Class 1 where the first channel is bright."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mean = x[:, 0].flatten(1).mean(1)
            return torch.stack([150 - mean, mean - 150], 1)

    x = torch.full((1, 3, 8, 8), 127.0)
    begin = (x / 255).clone()
    begin[:, 0] = 0.9
    begin[:, 1] += 0.001
    outside = []
    for mask in (False, True):
        oracle = Oracle(First(), x, torch.tensor([0]), budget=200)
        biased_boundary_attack(oracle, 0, frequency=None, mask=mask, images=begin)
        outside.append((oracle.best - oracle.originals)[:, 1:].norm().item())
    assert outside[1] < 0.5 * outside[0] + 1e-9


def test_steps_shrink_with_failures_and_begin_anew() -> None:
    """On a victim that never gives in, the length of the steps shows their scale."""

    class Never(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            black = (x.flatten(1).sum(1) == 0).float()
            return torch.stack([0.5 - black, black - 0.5], 1)

    x = torch.full((1, 3, 8, 8), 127.0)
    oracle = Watched(Never(), x, torch.tensor([0]), budget=21)
    biased_boundary_attack(
        oracle, 0, **WITHOUT, spherical_step=1.0, source_step=0.0, proposals=10, images=torch.zeros_like(x)
    )
    black = -oracle.originals
    angles = []
    for asked, _, _ in oracle.log[1:]:
        change = asked - oracle.originals
        cosine = (change * black).sum() / change.norm() / black.norm()
        angles.append(math.tan(math.acos(cosine.item())))
    assert angles[0] > angles[4] > angles[9]
    assert angles[10] == pytest.approx(angles[0], rel=0.1)

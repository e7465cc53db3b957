"""Balls by closed form, and projected gradient descent against two peers and networks solved by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from labkit.adversarial.attack import attacked_accuracy
from labkit.adversarial.white_box.balls import L2, Ball, Linf
from labkit.adversarial.white_box.fgsm import fgsm
from labkit.adversarial.white_box.projected import SURE, ProjectedGradient
from labkit.data.images import Images
from labkit.data.store import load
from labkit.data.vision import torchvision  # noqa: F401  the peers import it, and it needs help
from labkit.models.parts import frozen
from labkit.models.pretrained import pretrained

BALLS = [Linf(20.0), L2(60.0)]


class Linear(nn.Module):
    """Logits W x over flattened pixels, with a BatchNorm that an attack must leave alone."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        self.weight = nn.Parameter(torch.randn(5, 12, generator=torch.Generator().manual_seed(0)) / 50)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(1)) @ self.weight.T


@pytest.fixture
def linear() -> Linear:
    return Linear().eval()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(60, 190, (64, 3, 2, 2), generator=generator).float(), torch.arange(64) % 5


def length(change: Tensor, ball: Ball) -> Tensor:
    order = torch.inf if isinstance(ball, Linf) else 2
    return torch.linalg.vector_norm(change.flatten(1), order, dim=1)


def test_projections_and_steps_by_hand() -> None:
    change = torch.tensor([[3.0, -4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(L2(1).project(change), torch.tensor([[0.6, -0.8], [0.3, 0.4], [0, 0]]))
    torch.testing.assert_close(Linf(1).project(change), torch.tensor([[1.0, -1], [0.3, 0.4], [0, 0]]))
    torch.testing.assert_close(L2(9).steepest(change), torch.tensor([[0.6, -0.8], [0.6, 0.8], [0, 0]]))
    torch.testing.assert_close(Linf(9).steepest(change), torch.tensor([[1.0, -1], [1, 1], [0, 0]]))


@pytest.mark.parametrize("ball", BALLS)
def test_no_point_of_the_ball_is_nearer_than_the_projection_nor_rises_faster_than_the_step(
    ball: Ball,
) -> None:
    torch.manual_seed(0)
    outside, gradient = 60 * torch.randn(20, 12), torch.randn(20, 12)
    nearest, step = ball.project(outside), ball.steepest(gradient)
    for _ in range(200):
        other = ball.uniform(outside)
        assert ((outside - nearest).norm(dim=1) <= (outside - other).norm(dim=1) + 1e-4).all()
        unit = other / length(other, ball)[:, None]
        assert ((gradient * step).sum(1) >= (gradient * unit).sum(1) - 1e-4).all()
    torch.testing.assert_close(length(step, ball), torch.ones(20))


@pytest.mark.parametrize("ball", BALLS)
def test_starts_are_uniform_in_the_ball(ball: Ball) -> None:
    torch.manual_seed(0)
    change = ball.uniform(torch.zeros(20_000, 3, 1, 1))
    # the share within a radius is its third power, in three dimensions and any norm
    share = (length(change, ball) < ball.eps / 2).double().mean()
    assert share == pytest.approx(1 / 8, abs=0.01)
    assert length(change, ball).max() <= ball.eps * 1.00001
    assert change.mean(0).abs().max() < ball.eps / 50


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("stop", [False, True])
def test_it_never_leaves_ball_or_pixels_and_goes_where_it_should(
    ball: Ball, targeted: bool, stop: bool, linear: Linear
) -> None:
    torch.manual_seed(0)
    x, y = torch.randint(0, 256, (128, 3, 2, 2)).float(), torch.arange(128) % 5
    attack = ProjectedGradient(ball, ball.eps / 3, 10, targeted, stop=stop, restarts=2)
    found = attack(linear, x, y)
    assert length(found - x, ball).max() <= ball.eps * 1.00001
    assert found.min() >= 0
    assert found.max() <= 255
    with torch.no_grad():
        before, after = (linear(images).argmax(1) == y for images in (x, found))
    assert (after.sum() > before.sum() + 10) if targeted else (after.sum() < before.sum() - 10)


def test_one_step_is_the_fast_gradient_method(linear: Linear, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    attack = ProjectedGradient(Linf(8), 8, 1, random_start=False)
    torch.testing.assert_close(attack(linear, x, y), fgsm(linear, x, y, eps=8))


def test_on_a_linear_network_of_two_classes_it_finds_the_best_there_is() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ torch.tensor([[0.03, 0.0], [-0.04, 0.0]])

    x, y = torch.tensor([[100.0, 120.0]]).view(1, 1, 1, 2), torch.tensor([0])
    found = ProjectedGradient(L2(10), 3, 60, precision="float32")(Two(), x, y)
    torch.testing.assert_close(found, torch.tensor([[94.0, 128.0]]).view(1, 1, 1, 2), atol=1e-3, rtol=0)
    towards = ProjectedGradient(L2(10), 3, 60, targeted=True, precision="float32")(Two(), x, y)
    torch.testing.assert_close(towards, torch.tensor([[106.0, 112.0]]).view(1, 1, 1, 2), atol=1e-3, rtol=0)


def test_a_flat_network_moves_nothing_and_gives_no_nan() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * x.flatten(1)[:, :3]

    x = torch.full((2, 1, 2, 2), 7.0)
    found = ProjectedGradient(L2(10), 3, 5, random_start=False)(Flat(), x, torch.tensor([0, 1]))
    assert torch.equal(found, x)


def test_who_stops_is_misread_in_as_many_images_and_has_not_gone_further(
    linear: Linear, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch
    whole = ProjectedGradient(Linf(8), 1, 12, random_start=False)
    early = ProjectedGradient(Linf(8), 1, 12, random_start=False, stop=True)
    with torch.no_grad():
        logits = linear(x)
        own = logits.gather(1, y[:, None])[:, 0]
        wrong_at_once = logits.amax(1) - own > SURE
        all_steps, fewer = (linear(attack(linear, x, y)).argmax(1) == y for attack in (whole, early))
    assert torch.equal(all_steps, fewer)
    assert torch.equal(early(linear, x, y)[wrong_at_once], x[wrong_at_once])
    assert not torch.equal(whole(linear, x, y)[wrong_at_once], x[wrong_at_once])


def test_an_image_that_left_costs_no_gradient(
    linear: Linear, batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = batch
    sizes: list[int] = []
    linear.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    ProjectedGradient(Linf(20), 1, 20, random_start=False, stop=True)(linear, x, y)
    assert sizes[0] == 64
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 20 or sizes[-1] < 5
    sizes.clear()
    ProjectedGradient(Linf(20), 1, 20)(linear, x, y)
    assert sizes == [64] * 20, "one forward pass a step, and none for bookkeeping"


def test_restarts_keep_the_better_run_of_each_image(batch: tuple[Tensor, Tensor]) -> None:
    class Ridge(nn.Module):
        """Two ways out for the one pixel that counts, of which the left one is a dead end."""

        def forward(self, x: Tensor) -> Tensor:
            z = x.flatten(1)[:, 0] - 100
            wrong = torch.where(z > 0, z - 4, -z / 10 - 1)
            return torch.stack([torch.zeros_like(z), wrong], 1)

    x, y = torch.full((400, 1, 1, 1), 100.0), torch.zeros(400, dtype=torch.long)
    for stop in (False, True):
        left = []
        for restarts in (1, 2, 5):
            torch.manual_seed(0)
            attack = ProjectedGradient(Linf(8), 1, 10, restarts=restarts, stop=stop)
            found = attack(Ridge(), x, y)
            left.append((Ridge()(found).argmax(1) == y).double().mean().item())
        assert left == pytest.approx([1 / 2, 1 / 4, 1 / 32], abs=0.07)


@pytest.mark.parametrize("stop", [False, True])
def test_model_is_left_as_it_was(stop: bool, batch: tuple[Tensor, Tensor]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), Linear().train(), nn.Dropout())
    model[0].eval()
    model[0].bias.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ProjectedGradient(L2(40), 10, 5, stop=stop, restarts=2)(model, *batch)
    assert [module.training for module in model] == [False, True, True]
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True, True]
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[1].weight.grad is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frozen_puts_back_whatever_happens() -> None:
    model = Linear().train()

    def stumble() -> None:
        with frozen(model):
            assert not model.training
            assert not model.weight.requires_grad
            raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"):
        stumble()
    assert model.training
    assert model.weight.requires_grad
    assert model.norm.training


class Unit(nn.Module):
    """A network for pixels of 0..1."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(255 * x)


def peers(model: nn.Module, ball: Ball, step: float, steps: int):
    foolbox, torchattacks = pytest.importorskip("foolbox"), pytest.importorskip("torchattacks")
    linf = isinstance(ball, Linf)
    fool = (foolbox.attacks.LinfPGD if linf else foolbox.attacks.L2PGD)(
        abs_stepsize=step, steps=steps, random_start=False
    )
    other = (torchattacks.PGD if linf else torchattacks.PGDL2)(
        Unit(model).eval(), ball.eps / 255, step / 255, steps, random_start=False
    )
    fools = foolbox.PyTorchModel(model, (0, 255))
    return (
        lambda model, x, y: fool.run(fools, x, y, epsilon=ball.eps),
        lambda model, x, y: 255 * other(x / 255, y),
    )


@pytest.mark.parametrize("ball", BALLS)
def test_step_by_step_it_is_the_attack_of_both_peers(
    ball: Ball, linear: Linear, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch
    ours = ProjectedGradient(ball, ball.eps / 4, 7, random_start=False, precision="float32")(linear, x, y)
    for peer in peers(linear, ball, ball.eps / 4, 7):
        torch.testing.assert_close(ours, peer(linear, x, y), atol=1e-2, rtol=0)


def test_targeted_it_is_that_of_foolbox(linear: Linear, batch: tuple[Tensor, Tensor]) -> None:
    foolbox = pytest.importorskip("foolbox")
    x, y = batch
    attack = ProjectedGradient(L2(40), 10, 7, targeted=True, random_start=False, precision="float32")
    ours = attack(linear, x, y)
    fool = foolbox.attacks.L2PGD(abs_stepsize=10, steps=7, random_start=False)
    goal = foolbox.criteria.TargetedMisclassification(y)
    theirs = fool.run(foolbox.PyTorchModel(linear, (0, 255)), x, goal, epsilon=40)
    torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=0)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "ball", "n"),
    [
        ("cifar10_resnet4b_adv", Linf(4.0), 1000),
        ("cifar10_resnet4b_adv", L2(127.5), 1000),
        ("cifar10_resnet20", L2(25.5), 200),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_as_many_images_of_public_networks_stand_as_under_both_peers(
    name: str, ball: Ball, n: int, precision: str
) -> None:
    model, images = pretrained(name), load("cifar10", "test").first(n)
    step, steps = ball.eps / 2, 5
    theirs = [attacked_accuracy(model, images, peer) for peer in peers(model, ball, step, steps)]
    assert 0.2 < theirs[0] < 0.8
    for stop in (False, True):
        attack = ProjectedGradient(ball, step, steps, random_start=False, stop=stop, precision=precision)
        ours = attacked_accuracy(model, images, attack)
        assert max(abs(ours - other) for other in theirs) <= 0.005


def test_accuracy_under_attack_is_that_of_the_stopped_attack(linear: Linear) -> None:
    x = torch.randint(0, 256, (50, 3, 2, 2), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    images = Images("some", x, torch.arange(50) % 5, tuple("abcde"), "f")
    attack = ProjectedGradient(Linf(8), 2, 5, random_start=False)
    stopped = ProjectedGradient(Linf(8), 2, 5, random_start=False, stop=True)
    found = [attacked_accuracy(linear, images, one, size=20) for one in (attack, stopped)]
    assert found[0] == found[1]

"""SAM against closed forms and a loop written out; noise-aware training; resume of both."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from labkit.data.augment import raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.models.normalized import Normalized
from labkit.models.parts import layer_weights
from labkit.models.resnet import ResNet
from labkit.regularize.sam import SAM, InnerRise
from labkit.regularize.weight_noise import WeightNoise
from labkit.training.callbacks import Callback, Training
from labkit.training.checkpoint import Checkpoint
from labkit.training.fit import fit
from labkit.training.schedules import LearningRate


@pytest.fixture
def loader() -> Loader:
    x = torch.randint(0, 256, (40, 3, 8, 8), generator=Generator().manual_seed(1), dtype=torch.uint8)
    return Loader(Images("some", x, torch.arange(40) % 10, tuple("0123456789"), "f"), 8, [raw], 0)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return Normalized(ResNet(1), [127.5] * 3, [73.6] * 3)


def sgd(model: nn.Module, lr: float = 0.05) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=0.01)


def train(model: nn.Module, loader: Loader, steps: int, optimizer=None, *callbacks: Callback):
    return fit(model, loader, steps, optimizer or sgd(model), callbacks=callbacks, precision="float32")


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == again and torch.equal(a, b) for (name, a), (again, b) in pairs)


class Quadratic(nn.Module):
    """L(w) = w'Aw / 2 for a positive definite A, its weights in two tensors."""

    def __init__(self) -> None:
        super().__init__()
        generator = Generator().manual_seed(4)
        root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
        self.matrix = root @ root.T + torch.eye(5)
        start = torch.randn(5, generator=generator, dtype=torch.float64)
        self.parts = nn.ParameterList([start[:2].clone(), start[2:].clone()])

    def forward(self) -> Tensor:
        w = torch.cat(list(self.parts))
        return w @ self.matrix @ w / 2


def step_of(problem: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = problem()
        loss.backward()
        return loss.detach()

    optimizer.step(closure)


@pytest.mark.parametrize("norm", [2, math.inf])
def test_a_step_on_a_quadratic_is_the_closed_form(norm: float) -> None:
    problem, rho, lr = Quadratic(), 0.3, 0.01
    a, w = problem.matrix, torch.cat([part.detach().clone() for part in problem.parts])
    g = a @ w
    e = rho * g / g.norm() if norm == 2 else rho * g.sign()
    optimizer = SAM(torch.optim.SGD(problem.parameters(), lr), problem, rho, norm=norm)
    step_of(problem, optimizer)
    expected = w - lr * a @ (w + e)
    torch.testing.assert_close(torch.cat(list(problem.parts)).detach(), expected, rtol=1e-10, atol=0)
    rise = (w + e) @ a @ (w + e) / 2 - w @ a @ w / 2
    torch.testing.assert_close(optimizer.rise, rise, rtol=1e-10, atol=0)


@pytest.mark.parametrize("norm", [2, math.inf])
def test_several_ascents_are_projected_ascent_written_out(norm: float) -> None:
    problem, rho, lr, n = Quadratic(), 0.3, 0.01, 3
    a, w = problem.matrix, torch.cat([part.detach().clone() for part in problem.parts])
    e = torch.zeros_like(w)
    for _ in range(n):
        g = a @ (w + e)
        if norm == 2:
            e = e + 2.5 * rho / n * g / g.norm()
            e = e if e.norm() <= rho else e * rho / e.norm()
        else:
            e = torch.clamp(e + 2.5 * rho / n * g.sign(), -rho, rho)
    optimizer = SAM(torch.optim.SGD(problem.parameters(), lr), problem, rho, norm=norm, ascents=n)
    step_of(problem, optimizer)
    torch.testing.assert_close(torch.cat(list(problem.parts)).detach(), w - lr * a @ (w + e))


def test_more_ascents_find_a_higher_loss_within_the_same_ball(loader: Loader, model: nn.Module) -> None:
    train(model, loader, 5)
    rises = []
    for ascents in (1, 5):
        twin = copy.deepcopy(model)
        history = train(twin, loader, 1, SAM(sgd(twin), twin, 0.5, ascents=ascents), InnerRise())
        rises += history.series("rise")[1]
    assert 0 < rises[0] < rises[1]


def test_training_is_that_of_two_passes_written_out(loader: Loader, model: nn.Module) -> None:
    """An implementation of its own: no optimizer, no closure, no weight changed in place."""
    rho, lr, steps = 0.1, 0.05, 6
    twin = copy.deepcopy(model).to(memory_format=torch.channels_last).train()
    weights = {name: parameter.detach() for name, parameter in twin.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in twin.named_buffers()}
    momentum = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    def gradient(weights: dict[str, Tensor], buffers: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        batch = loader.batch(step)
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        x = batch.x.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(functional_call(twin, (leaves, buffers), x), batch.y)
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    for step in range(steps):
        here = gradient(weights, buffers, step)  # this pass updates the buffers in place
        norm = sum(g.double().pow(2).sum() for g in here.values()).sqrt().item()
        there = {name: weight + rho / norm * here[name] for name, weight in weights.items()}
        worst = gradient(there, {name: buffer.clone() for name, buffer in buffers.items()}, step)
        for name, weight in weights.items():
            momentum[name] = 0.9 * momentum[name] + worst[name] + 0.01 * weight
            weights[name] = weight - lr * momentum[name]
    train(model, loader, steps, SAM(sgd(model, lr), model, rho))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, (weights | buffers)[name], rtol=1e-3, atol=1e-5, msg=name)
    plain = copy.deepcopy(twin)  # the tolerance is far below what SAM changes
    train(plain, loader, steps, sgd(plain, lr))
    assert (plain.model[0].weight - model.model[0].weight).abs().max() > 1e-3


@pytest.mark.parametrize("ascents", [1, 3])
def test_radius_zero_is_sgd_bit_for_bit(loader: Loader, model: nn.Module, ascents: int) -> None:
    twin = copy.deepcopy(model)
    train(model, loader, 7)
    train(twin, loader, 7, SAM(sgd(twin), twin, 0.0, ascents=ascents))
    assert same(model, twin)


def test_weights_and_statistics_after_a_step_without_a_rate(loader: Loader, model: nn.Module) -> None:
    train(model, loader, 3)
    before, once = copy.deepcopy(model), copy.deepcopy(model)
    train(model, loader, 1, SAM(sgd(model, 0.0), model, 0.3, ascents=2))
    for old, new in zip(before.parameters(), model.parameters(), strict=True):
        assert torch.equal(old, new)
    train(once, loader, 1, sgd(once, 0.0))  # one pass
    assert same(model, once)
    assert not same(model, before)


def test_weights_are_restored_when_a_pass_fails(loader: Loader, model: nn.Module) -> None:
    before = copy.deepcopy(model)

    class Fail(Callback):
        count = 0

        def on_gradient(self, training: Training) -> None:
            self.count += 1
            if self.count == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, loader, 1, SAM(sgd(model), model, 0.3), Fail())
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), model.parameters(), strict=True))


def test_all_passes_see_the_same_dropout(loader: Loader) -> None:
    masks: list[Tensor] = []
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 10))
    net[1].register_forward_hook(lambda module, inputs, output: masks.append(output != 0))
    train(net, loader, 2, SAM(sgd(net, 1e-6), net, 0.1, ascents=2))
    assert all(torch.equal(masks[0], mask) for mask in masks[1:3])
    assert not torch.equal(masks[0], masks[3]), "the next step must draw anew"


def test_the_schedule_reaches_the_base_optimizer(loader: Loader, model: nn.Module) -> None:
    base = sgd(model, 0.4)
    optimizer = SAM(base, model, 0.1)
    train(model, loader, 1, optimizer, LearningRate(lambda step: 0.5))
    assert base.param_groups[0]["lr"] == 0.2
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.param_groups[0]["lr"] = 0.3
    assert base.param_groups[0]["lr"] == 0.3


class Stop(Callback):
    """Ends a training as a kill between two steps would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_start(self, training: Training) -> None:
        if training.step == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["SAM", "noise"])
def test_an_interrupted_training_ends_where_the_uninterrupted_one_does(
    kind: str, loader: Loader, model: nn.Module, tmp_path: Path
) -> None:
    def resumable(network: nn.Module, stop: int, path: Path) -> list[float]:
        optimizer = SAM(sgd(network), network, 0.1) if kind == "SAM" else sgd(network)
        watch: Callback = InnerRise() if kind == "SAM" else WeightNoise(0.2, 3)
        schedule = LearningRate(lambda step: 1 / (1 + step))
        history = train(network, loader, 9, optimizer, schedule, watch, Stop(stop), Checkpoint(path, "k", 3))
        return [value for name in history.names() for value in history.series(name)[1]]

    whole, again = copy.deepcopy(model), copy.deepcopy(model)
    expected = resumable(whole, -1, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        resumable(model, 7, tmp_path / "stopped")
    assert resumable(again, -1, tmp_path / "stopped") == expected
    assert same(whole, again)
    assert not same(whole, model)


@pytest.mark.parametrize("wrong", [{"rho": -0.1}, {"rho": 0.1, "norm": 1.0}, {"rho": 0.1, "ascents": 0}])
def test_what_sam_cannot_do_is_refused(wrong: dict, model: nn.Module) -> None:
    with pytest.raises(LabkitError, match="allowed: rho from 0, norm 2 or inf, ascents from 1"):
        SAM(sgd(model), model, **wrong)


class Look(Callback):
    """Keeps the layer weights at which each gradient is taken."""

    def __init__(self, model: nn.Module) -> None:
        self.seen: list[list[Tensor]] = []
        model.register_forward_pre_hook(lambda module, inputs: self.look(module))

    def look(self, model: nn.Module) -> None:
        self.seen.append([weight.detach().clone() for weight in layer_weights(model)])


def test_noise_is_fresh_each_step_of_the_stated_size_and_gone_afterwards(
    loader: Loader, model: nn.Module
) -> None:
    before, look = copy.deepcopy(model), Look(model)
    train(model, loader, 2, sgd(model, 0.0), WeightNoise(0.2, 3))
    noise = [[n - w for n, w in zip(seen, layer_weights(before), strict=True)] for seen in look.seen]
    for first, second, weight in zip(*noise, layer_weights(before), strict=True):
        assert not torch.equal(first, second)
        tolerance = 4 / math.sqrt(2 * weight.numel())  # four standard errors of a standard deviation
        assert (first.std() / weight.std()).item() == pytest.approx(0.2, rel=tolerance)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), model.parameters(), strict=True))


def test_a_noisy_step_is_the_clean_weight_minus_the_noisy_gradient(loader: Loader, model: nn.Module) -> None:
    twin, look = copy.deepcopy(model).to(memory_format=torch.channels_last).train(), Look(model)
    lr, batch = 0.05, loader.batch(0)
    start = copy.deepcopy(model)
    train(model, loader, 1, torch.optim.SGD(model.parameters(), lr), WeightNoise(0.3, 3))
    with torch.no_grad():
        for weight, noisy in zip(layer_weights(twin), look.seen[0], strict=True):
            weight.copy_(noisy)
    F.cross_entropy(twin(batch.x.contiguous(memory_format=torch.channels_last)), batch.y).backward()
    for old, new, noisy in zip(start.parameters(), model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(new, old - lr * noisy.grad, rtol=1e-4, atol=1e-6)


def test_noise_leaves_the_weights_clean_when_the_loss_fails(loader: Loader, model: nn.Module) -> None:
    before = copy.deepcopy(model)

    def broken(model: nn.Module, batch: object) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, loader, 1, sgd(model), loss=broken, callbacks=[WeightNoise(0.2, 3)], precision="float32")
    assert same(model, before)

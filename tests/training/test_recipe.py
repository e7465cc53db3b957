"""The usual recipe and the callbacks about where in a training one is."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Generator, nn
from torch.nn import functional as F

from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.training.callbacks import Callback, Training
from labkit.training.checkpoint import Checkpoint
from labkit.training.held_out import ValidationLoss
from labkit.training.recipe import Recipe, train, trained
from labkit.training.snapshots import Snapshot, StartAt


@pytest.fixture
def images() -> Images:
    x = torch.randint(0, 256, (48, 3, 8, 8), generator=Generator().manual_seed(1), dtype=torch.uint8)
    return Images("some", x, torch.arange(48) % 10, tuple("0123456789"), "f")


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


class Look(Callback):
    """Keeps step, learning rate and first image of every step."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.rates: list[float] = []
        self.images: list[torch.Tensor] = []

    def on_step_end(self, training: Training) -> None:
        self.steps.append(training.step)
        self.rates.append(training.optimizer.param_groups[0]["lr"])
        self.images.append(training.batch.x[0])


def test_the_rate_falls_tenfold_at_each_milestone(model: nn.Module, images: Images) -> None:
    look = Look()
    train(model, images, Recipe(12, 0.1, 8, milestones=(2 / 3, 5 / 6)), 0, callbacks=[look])
    assert look.rates == pytest.approx([0.1] * 8 + [0.01] * 2 + [0.001] * 2)


def test_a_training_by_recipe_is_sgd_written_out(model: nn.Module, images: Images) -> None:
    by_hand = copy.deepcopy(model).train()
    recipe = Recipe(6, 0.001, 8, momentum=0.9, weight_decay=0.01)
    loader, velocity = recipe.loader(images, 3), {}
    for step in range(6):
        batch = loader.batch(step)
        loss = F.cross_entropy(by_hand(batch.x), batch.y)
        by_hand.zero_grad()
        loss.backward()
        rate = 0.001 if step < 3 else 0.0001 if step < 4.5 else 0.00001
        with torch.no_grad():
            for name, p in by_hand.named_parameters():
                velocity[name] = 0.9 * velocity.get(name, 0) + p.grad + 0.01 * p
                p -= rate * velocity[name]
    train(model, images, recipe, 3)
    for a, b in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_trained_weights_are_those_of_a_training(model: nn.Module, images: Images) -> None:
    before, recipe = copy.deepcopy(model.state_dict()), Recipe(3, 0.1, batch=8)
    found = trained(model, images, recipe)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    train(model, images, recipe, 0)
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
    assert any(not torch.equal(found[name], value) for name, value in before.items())


def test_a_late_start_sees_the_schedule_and_the_batches_from_there_on(
    model: nn.Module, images: Images
) -> None:
    whole, late = Look(), Look()
    recipe = Recipe(12, 0.1, 8)
    train(copy.deepcopy(model), images, recipe, 0, callbacks=[whole])
    history = train(model, images, recipe, 0, callbacks=[StartAt(5), late])
    assert late.steps == list(range(5, 12))
    assert late.rates == whole.rates[5:]
    assert all(torch.equal(a, b) for a, b in zip(late.images, whole.images[5:], strict=True))
    assert history.series("loss")[0] == list(range(5, 12))


def test_a_snapshot_is_the_state_before_its_step_and_never_changes(model: nn.Module, images: Images) -> None:
    recipe = Recipe(8, 0.01, 8, milestones=())
    snapshot, first = Snapshot(3), Snapshot(0)
    start = copy.deepcopy(model.state_dict())
    short = copy.deepcopy(model)
    train(model, images, recipe, 0, callbacks=[snapshot, first])
    train(short, images, Recipe(3, 0.01, 8, milestones=()), 0)
    assert all(torch.equal(value, snapshot.kept[name]) for name, value in short.state_dict().items())
    assert all(torch.equal(value, first.kept[name]) for name, value in start.items())
    assert not torch.equal(snapshot.kept["1.weight"], model.state_dict()["1.weight"])


def test_a_snapshot_survives_a_resume(model: nn.Module, images: Images, tmp_path: Path) -> None:
    recipe = Recipe(9, 0.01, 8)

    class Stop(Callback):
        def on_step_start(self, training: Training) -> None:
            if training.step == 6:
                raise KeyboardInterrupt

    def callbacks(snapshot: Snapshot, *more: Callback) -> list[Callback]:
        return [snapshot, *more, Checkpoint(tmp_path / "c.safetensors", "key", every=2)]

    first, second = Snapshot(3), Snapshot(3)
    with pytest.raises(KeyboardInterrupt):
        train(model, images, recipe, 0, callbacks=callbacks(first, Stop()))
    train(model, images, recipe, 0, callbacks=callbacks(second, Callback()))
    assert second.kept
    assert all(torch.equal(value, second.kept[name]) for name, value in first.kept.items())


def test_a_late_start_that_was_killed_goes_on_where_it_was(
    model: nn.Module, images: Images, tmp_path: Path
) -> None:
    recipe = Recipe(9, 0.01, 8)
    looks = []
    for steps in (7, 9):
        look = Look()
        looks.append(look)

        class Stop(Callback):
            def on_step_start(self, training: Training, last: int = steps) -> None:
                if training.step == last:
                    raise KeyboardInterrupt

        callbacks = [StartAt(2), look, Stop(), Checkpoint(tmp_path / "c.safetensors", "key", every=2)]
        try:
            train(model, images, recipe, 0, callbacks=callbacks)
        except KeyboardInterrupt:
            assert steps == 7
    assert looks[0].steps == [2, 3, 4, 5, 6]
    assert looks[1].steps == [6, 7, 8]


def test_validation_loss_is_that_of_the_model_in_eval_mode(model: nn.Module, images: Images) -> None:
    losses = []

    class ByHand(Callback):
        def on_step_end(self, training: Training) -> None:
            copied = copy.deepcopy(training.model).eval()
            losses.append(F.cross_entropy(copied(images.x.float()), images.y).item())

    watch = [ValidationLoss(images, [raw], 3), ByHand()]
    history = train(model, images, Recipe(9, 0.01, 8), 0, callbacks=watch)
    steps, values = history.series("validation_loss")
    assert steps == [2, 5, 8]
    assert values == pytest.approx([losses[2], losses[5], losses[8]], rel=1e-4)


def test_a_second_training_with_the_same_groups_starts_at_the_full_rate(
    model: nn.Module, images: Images
) -> None:
    recipe, look = Recipe(6, 0.1, 8), Look()
    groups = [{"params": list(model.parameters()), "weight_decay": 0.0}]
    for _ in range(2):
        train(model, images, recipe, 0, optimizer=recipe.sgd(groups), callbacks=[look])
    assert look.rates[6:] == look.rates[:6]
    assert look.rates[0] == 0.1

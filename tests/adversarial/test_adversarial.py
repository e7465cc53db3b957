"""The attacks against foolbox and against networks solved by hand."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from labkit.adversarial.attack import adversarial_loss, attacked_accuracy
from labkit.adversarial.white_box.pgd import pgd
from labkit.adversarial.white_box.sign_gradient import confident_mistakes
from labkit.data.batches import Batch
from labkit.data.images import Images


class Linear(nn.Module):
    """Logits W x over flattened pixels, for W of shape (3, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, -1], [0, 0, 1, -1]]) / 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.weight.T


def test_every_step_goes_where_the_hand_computed_gradient_points() -> None:
    x = torch.tensor([[100.0, 60, 50, 100]]).view(1, 1, 2, 2)
    attacked = confident_mistakes(Linear(), x, torch.tensor([0]), max_steps=3)
    # The loss of class 0 falls with pixels 0 and 3 and rises with 1 and 2: its sign is (-, +, +, -).
    assert (attacked.x - x).flatten().tolist() == [-3, 3, 3, -3]
    assert attacked.steps.tolist() == [3]


def test_it_stops_at_the_confidence_asked_for_and_not_before() -> None:
    x = torch.tensor([[100.0, 60, 50, 100]]).view(1, 1, 2, 2)
    attacked = confident_mistakes(Linear(), x, torch.tensor([0]), confidence=0.9)
    assert attacked.success.item()
    assert attacked.confidence.item() >= 0.9
    shorter = confident_mistakes(
        Linear(), x, torch.tensor([0]), confidence=0.9, max_steps=attacked.steps.item() - 1
    )
    assert not shorter.success.item()
    assert shorter.confidence.item() < 0.9


def test_pixels_stay_pixels() -> None:
    x = torch.tensor([[2.0, 254, 3, 1], [200, 10, 10, 200]]).view(2, 1, 2, 2)
    attacked = confident_mistakes(Linear(), x, torch.tensor([0, 0]), confidence=0.999, max_steps=60)
    assert attacked.x.min() >= 0
    assert attacked.x.max() <= 255
    assert torch.equal(attacked.x, attacked.x.round())


def test_each_image_stops_by_itself() -> None:
    near = torch.tensor([100.0, 99, 0, 0])
    far = torch.tensor([200.0, 0, 0, 100])
    x = torch.stack([near, far]).view(2, 1, 2, 2)
    attacked = confident_mistakes(Linear(), x, torch.tensor([0, 0]), confidence=0.6)
    alone = [confident_mistakes(Linear(), x[i : i + 1], torch.tensor([0]), confidence=0.6) for i in range(2)]
    assert attacked.steps.tolist() == [one.steps.item() for one in alone]
    assert attacked.steps[0] < attacked.steps[1]
    assert torch.equal(attacked.x, torch.cat([one.x for one in alone]))


def test_the_model_is_attacked_in_eval_mode_and_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    confident_mistakes(model, torch.rand(3, 1, 2, 2) * 255, torch.zeros(3, dtype=torch.long), max_steps=5)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_is_the_basic_iterative_method_of_foolbox_until_the_class_changes() -> None:
    foolbox = pytest.importorskip("foolbox")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    x = torch.randint(0, 256, (64, 3, 8, 8)).float()
    y = model(x).argmax(1)
    steps = 2
    ours = confident_mistakes(model, x, y, max_steps=steps, confidence=1.1)
    after_one = confident_mistakes(model, x, y, max_steps=steps - 1, confidence=1.1).prediction
    still = after_one == y  # beyond the change of class we descend on another loss, and foolbox does not
    attack = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=1.0, steps=steps, random_start=False)
    peer, _, _ = attack(foolbox.PyTorchModel(model, bounds=(0, 255)), x, y, epsilons=255.0)
    assert int(still.sum()) > 20
    assert torch.equal(ours.x[still], peer[still])


@pytest.fixture
def small() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(144), nn.Linear(144, 5))
    return nn.Sequential(*layers)


def test_pgd_is_that_of_foolbox_from_the_same_start(
    small: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    foolbox = pytest.importorskip("foolbox")
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda tensor, low, high: tensor.zero_())
    small.eval()
    x = torch.randint(0, 256, (16, 3, 8, 8)).float()
    y = torch.arange(16) % 5
    ours = pgd(small, x, y, eps=8, step=2, steps=7)
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=2.0, steps=7, random_start=False)
    theirs = attack.run(foolbox.PyTorchModel(small, (0, 255)), x, y, epsilon=8.0)
    torch.testing.assert_close(ours, theirs)
    assert (ours - x).abs().max() == 8


def test_pgd_stays_in_the_ball_and_among_the_pixels_and_raises_the_loss(small: nn.Module) -> None:
    small.eval()
    x = torch.randint(0, 256, (32, 3, 8, 8)).float()
    y = torch.arange(32) % 5
    attacked = pgd(small, x, y, eps=8, step=3, steps=10)
    assert (attacked - x).abs().max() <= 8 + 1e-4
    assert attacked.min() >= 0
    assert attacked.max() <= 255
    assert cross(small, attacked, y) > cross(small, x, y) + 0.1
    noise = (x + torch.empty_like(x).uniform_(-8, 8)).clamp(0, 255)
    assert cross(small, attacked, y) > cross(small, noise, y) + 0.1


def cross(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    return nn.functional.cross_entropy(model(x), y).item()


def test_adversarial_training_starts_anywhere_in_the_ball(small: nn.Module) -> None:
    x = torch.full((4, 3, 8, 8), 128.0)
    start = pgd(small, x, torch.zeros(4, dtype=torch.long), eps=8, step=2, steps=0)
    assert 7 < (start - x).abs().max() <= 8
    assert (start - x).mean().abs() < 1.5


def test_the_adversarial_loss_is_the_loss_on_attacked_images(small: nn.Module) -> None:
    small.train()
    x = torch.randint(0, 256, (16, 3, 8, 8)).float()
    batch = Batch(x, torch.arange(16) % 5, torch.arange(16))
    attack = partial(pgd, eps=8, step=2, steps=3)
    buffers = {name: buffer.clone() for name, buffer in small.named_buffers()}
    torch.manual_seed(1)
    attacked = attack(small, x, batch.y)
    assert small.training
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in small.named_buffers())
    expected = nn.functional.cross_entropy(copy.deepcopy(small)(attacked), batch.y)
    torch.manual_seed(1)
    torch.testing.assert_close(adversarial_loss(attack)(small, batch), expected)


def test_attacked_accuracy_counts_the_images_that_survive() -> None:
    # one pixel decides: above 128 is class 1; an attack of 8 moves it by 8 and no more
    class Threshold(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = x.flatten(1)[:, :1] - 128
            return torch.cat([-z, z], 1)

    x = torch.tensor([100, 121, 126, 130, 135, 200], dtype=torch.uint8).view(6, 1, 1, 1)
    images = Images("some", x, torch.tensor([0, 0, 0, 1, 1, 1]), ("a", "b"), "f")
    assert attacked_accuracy(Threshold(), images, partial(pgd, eps=8, step=4, steps=10)) == pytest.approx(
        2 / 6
    )
    assert attacked_accuracy(Threshold(), images, partial(pgd, eps=0, step=0, steps=1)) == 1

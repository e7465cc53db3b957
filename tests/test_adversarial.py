"""The sign-gradient attack against foolbox and against a linear network solved by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.adversarial.sign_gradient import confident_mistakes


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

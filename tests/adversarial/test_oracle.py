"""The oracle: what it counts, refuses, hides and keeps."""

from __future__ import annotations

import copy

import pytest
import torch
from linear_victim import Plane, images, seen
from torch import nn

from labkit.adversarial.black_box.oracle import Oracle
from labkit.errors import LabkitError


class Brightness(nn.Module):
    """Class 1 where the mean pixel, 0..255, is above 100."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([100 - mean, mean - 100], 1)


def flat(*shares: float) -> torch.Tensor:
    return torch.tensor(shares).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def oracle(budget: int = 10, **options) -> Oracle:
    return Oracle(Brightness(), flat(0.2, 0.3) * 255, torch.tensor([0, 0]), budget=budget, **options)


def test_every_picture_is_a_query_of_its_own_original() -> None:
    it = oracle()
    assert it.ask(flat(0.2, 0.8, 0.9), torch.tensor([0, 1, 1])).tolist() == [False, True, True]
    assert it.asked.tolist() == [1, 2]
    assert it.left.tolist() == [9, 8]


def test_the_budget_is_never_exceeded_and_a_refusal_costs_nothing() -> None:
    it = oracle(budget=2)
    it.ask(flat(0.2, 0.2), torch.tensor([0, 0]))
    with pytest.raises(LabkitError, match="image 0 has 0 of its queries left, and 1 are"):
        it.ask(flat(0.8, 0.8), torch.tensor([0, 1]))
    assert it.asked.tolist() == [2, 0]
    assert it.distance.tolist() == [torch.inf, torch.inf]


@pytest.mark.parametrize("share", [-0.01, 1.01, torch.nan])
def test_no_answer_for_what_is_no_picture(share: float) -> None:
    it = oracle()
    with pytest.raises(LabkitError, match="pixels are 0"):
        it.ask(flat(share), torch.tensor([0]))
    assert it.asked.tolist() == [0, 0]


def test_ids_have_to_ascend() -> None:
    with pytest.raises(LabkitError, match="ascend"):
        oracle().ask(flat(0.8, 0.8), torch.tensor([1, 0]))


def test_the_nearest_adversarial_picture_is_kept_with_the_query_that_found_it() -> None:
    it = oracle()
    it.ask(flat(0.2, 0.9, 0.5, 0.7, 0.8), torch.tensor([0, 0, 0, 1, 1]))
    it.ask(flat(0.6, 0.6), torch.tensor([0, 1]))
    # Four pixels: the distance is twice the difference.
    assert it.distance.tolist() == pytest.approx([0.6, 0.6])
    assert torch.allclose(it.best, flat(0.5, 0.6))
    steps = it.distances([0, 1, 2, 3, 10])
    expected = [[torch.inf, torch.inf], [torch.inf, 0.8], [torch.inf, 0.8], [0.6, 0.6], [0.6, 0.6]]
    assert steps.tolist() == [pytest.approx(row) for row in expected]
    assert it.reached(0.61).tolist() == [3, 3]
    assert it.reached(0.85).tolist() == [3, 1]
    assert it.reached(0.5).tolist() == [torch.inf, torch.inf]


def test_budgets_can_differ() -> None:
    it = oracle(budget=torch.tensor([1, 3]))
    it.ask(flat(0.2, 0.2, 0.2), torch.tensor([0, 1, 1]))
    assert it.left.tolist() == [0, 1]
    with pytest.raises(LabkitError, match="image 0"):
        it.ask(flat(0.2), torch.tensor([0]))


def test_l_infinity_is_the_largest_change() -> None:
    it = oracle(norm="Linf")
    it.ask(flat(0.9), torch.tensor([0]))
    assert it.distance[0].item() == pytest.approx(0.7)


def test_targeted_asks_for_one_class() -> None:
    it = Oracle(Brightness(), flat(0.8) * 255, torch.tensor([0]), budget=5, targeted=True)
    assert it.ask(flat(0.9, 0.1), torch.tensor([0, 0])).tolist() == [False, True]


def test_images_that_are_misclassified_are_refused() -> None:
    with pytest.raises(LabkitError, match="1 of 2 images are misclassified"):
        Oracle(Brightness(), flat(0.2, 0.8) * 255, torch.tensor([0, 0]), budget=5)


def test_no_attribute_leads_to_the_network() -> None:
    model = Plane()
    x = images(3)
    it = Oracle(model, x, seen(model, x), budget=5)
    for value in vars(it).values():
        assert not isinstance(value, nn.Module)
        held = [value] if isinstance(value, torch.Tensor) else []
        assert not any(v.requires_grad or v.shape == model.weight.shape for v in held)
    question = it.originals.clone().requires_grad_()
    answer = it.ask(question, torch.arange(3))
    assert answer.dtype == torch.bool
    assert not answer.requires_grad


def test_the_model_is_left_as_it_was_and_used_in_eval_mode() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 2)).train()
    before = copy.deepcopy(model.state_dict())
    x = images(4)
    it = Oracle(model, x, seen(copy.deepcopy(model).eval(), x), budget=5)
    it.ask(it.originals, torch.arange(4))
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_batches_do_not_change_answers() -> None:
    model, x = Plane(), images(9)
    one = Oracle(model, x, seen(model, x), budget=50, batch=4)
    other = Oracle(model, x, seen(model, x), budget=50, batch=100)
    ids = torch.arange(9).repeat_interleave(3)
    asked = torch.rand(27, 3, 8, 8)
    assert torch.equal(one.ask(asked, ids), other.ask(asked, ids))
    assert torch.equal(one.distance, other.distance)

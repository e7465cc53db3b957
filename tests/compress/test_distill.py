"""Distillation against torch's own losses, limits, cases by hand, and gradients that must be zero."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.compress.distill.exits import Exits, own_teacher, self_distillation
from labkit.compress.distill.losses import (
    distilled,
    entropy,
    from_teacher,
    soft_cross_entropy,
    virtual_teacher,
)
from labkit.compress.distill.targets import evened, shuffled
from labkit.compress.distill.views import view, view_logits
from labkit.data.batches import Batch
from labkit.data.embedded.glyphs import glyphs
from labkit.models.resnet import ResNet, resnet8


def logits(*shape: int, seed: int = 0, scale: float = 4.0) -> Tensor:
    return scale * torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.double)


@pytest.mark.parametrize("temperature", [1.0, 2.5, 20.0])
def test_soft_cross_entropy_is_torchs_with_probability_targets(temperature: float) -> None:
    z, v = logits(6, 10), logits(6, 10, seed=1)
    expected = nn.CrossEntropyLoss()(z / temperature, (v / temperature).softmax(1))
    assert soft_cross_entropy(z, v, temperature).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_kl_is_cross_entropy_less_entropy(temperature: float) -> None:
    z, v = logits(6, 10), logits(6, 10, seed=1)
    kl = nn.KLDivLoss(reduction="batchmean")((z / temperature).log_softmax(1), (v / temperature).softmax(1))
    own = soft_cross_entropy(z, v, temperature) - entropy(v, temperature).mean()
    assert own.item() == pytest.approx(kl.item(), rel=1e-10)
    assert soft_cross_entropy(v, v, temperature).item() == pytest.approx(
        entropy(v, temperature).mean().item(), rel=1e-12
    )


def test_entropy_is_that_of_the_uniform_and_of_the_certain() -> None:
    v = torch.tensor([[0.0, 0.0, 0.0], [1000.0, 0.0, 0.0]])
    assert entropy(v, 1.0).tolist() == pytest.approx([math.log(3), 0.0])


def gradient(temperature: float, z: Tensor, v: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    distilled(z, v, torch.zeros(len(z), dtype=torch.long), temperature, 1.0).backward()
    assert z.grad is not None
    return z.grad * len(z)


def test_the_gradient_is_the_difference_of_probabilities_times_the_temperature() -> None:
    z, v = logits(5, 10), logits(5, 10, seed=1)
    expected = 3.0 * ((z / 3).softmax(1) - (v / 3).softmax(1))
    assert torch.allclose(gradient(3.0, z, v), expected)


def test_at_high_temperature_the_gradient_is_that_of_matching_logits() -> None:
    z, v = logits(5, 10), logits(5, 10, seed=1)
    limit = ((z - z.mean(1, keepdim=True)) - (v - v.mean(1, keepdim=True))) / 10
    assert torch.allclose(gradient(1000.0, z, v), limit, atol=0.02)
    assert torch.allclose(gradient(100_000.0, z, v), limit, atol=2e-4)


def test_labels_and_soft_targets_are_weighed_and_labels_are_not_softened() -> None:
    z, v, y = logits(5, 10), logits(5, 10, seed=1), torch.arange(5)
    expected = 0.6 * 16 * soft_cross_entropy(z, v, 4.0) + 0.4 * F.cross_entropy(z, y)
    assert distilled(z, v, y, 4.0, 0.6).item() == pytest.approx(expected.item())
    assert distilled(z, v, y, 4.0, 0.0).item() == pytest.approx(F.cross_entropy(z, y).item())


def test_a_low_precision_is_left_before_the_temperature_divides() -> None:
    z = logits(4, 10).bfloat16()
    assert soft_cross_entropy(z, z, 20.0).dtype == torch.float32


def test_a_student_looks_its_targets_up_by_number() -> None:
    v, model = logits(20, 3).float(), nn.Linear(4, 3)
    batch = Batch(torch.randn(2, 4), torch.tensor([0, 1]), torch.tensor([17, 3]))
    expected = distilled(model(batch.x), v[[17, 3]], batch.y, 2.0, 0.9)
    assert torch.equal(from_teacher(v, 2.0, 0.9)(model, batch), expected)


def test_the_virtual_teacher_is_that_of_three_classes_by_hand() -> None:
    p = virtual_teacher(torch.tensor([2, 0]), 3, 0.9)
    assert torch.allclose(p, torch.tensor([[0.05, 0.05, 0.9], [0.9, 0.05, 0.05]]))
    z = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.double)
    e = [math.exp(0.05 / 2), math.exp(0.05 / 2), math.exp(0.9 / 2)]
    p_soft = [x / sum(e) for x in e]
    f = [math.exp(0.5), math.exp(1.0), 1.0]
    soft = -sum(a * math.log(b / sum(f)) for a, b in zip(p_soft, f, strict=True))
    g = [math.exp(1.0), math.exp(2.0), 1.0]
    hard = -math.log(g[2] / sum(g))
    found = distilled(z, p[:1].double(), torch.tensor([2]), 2.0, 0.1)
    assert found.item() == pytest.approx(0.1 * 4 * soft + 0.9 * hard, rel=1e-6)


def test_with_the_student_at_temperature_one_it_is_label_smoothing() -> None:
    """As the authors' code has it: the smoothing is the soft weight times the classes times an even share."""
    z, y = logits(8, 10), torch.arange(8)
    p = (virtual_teacher(y, 10, 0.99).double() / 20).softmax(1)
    theirs = 0.9 * F.cross_entropy(z, y) + 0.1 * F.cross_entropy(z, p)
    smoothing = 0.1 * 10 * p[0, 1].item()
    ours = F.cross_entropy(z, y, label_smoothing=smoothing)
    assert theirs.item() == pytest.approx(ours.item(), rel=1e-6)
    assert smoothing == pytest.approx(0.0995, abs=1e-4)


def test_shuffled_keeps_the_largest_and_what_there_is() -> None:
    v = logits(200, 10)
    made = shuffled(v, Generator().manual_seed(0))
    assert torch.equal(made.argmax(1), v.argmax(1))
    assert torch.equal(made.sort(1).values, v.sort(1).values)
    assert torch.allclose(entropy(made, 4.0), entropy(v, 4.0))
    assert (made != v).double().mean() > 0.7


def test_evened_keeps_the_confidence_alone() -> None:
    v = logits(50, 10)
    made = evened(v, 4.0)
    p, q = (v / 4).softmax(1), (made / 4).softmax(1)
    assert torch.allclose(p.amax(1), q.amax(1))
    assert torch.equal(q.argmax(1), p.argmax(1))
    lowest = q.sort(1).values[:, :9]
    assert torch.allclose(lowest, lowest[:, :1].expand_as(lowest))


def test_a_view_is_the_same_when_asked_again_and_logits_are_of_it() -> None:
    images = glyphs("train", 30)
    assert torch.equal(view(images.x, 1), view(images.x, 1))
    assert not torch.equal(view(images.x, 0), view(images.x, 1))
    torch.manual_seed(0)
    model = resnet8().eval()
    found = view_logits(model, images, 3, size=7)
    assert found.shape == (30, 3, 10)
    for number in range(3):
        expected = model(view(images.x, number).float())
        assert torch.allclose(found[:, number], expected, rtol=0.05, atol=0.05 * expected.std().item())


def exits() -> tuple[ResNet, Exits, Tensor]:
    torch.manual_seed(0)
    network = ResNet(2, width=4)
    return network, Exits(network), torch.randn(6, 3, 32, 32)


def test_the_deepest_exit_is_the_network_itself() -> None:
    network, model, x = exits()
    found, features = model.eval().both(x)
    assert found.shape == (6, 3, 10)
    assert features.shape == (6, 3, 16)
    assert torch.allclose(found[:, 2], network.eval()(x), atol=1e-5)
    assert torch.equal(model(x), found)


def test_a_bottleneck_ends_in_a_picture_as_small_as_the_last() -> None:
    _, model, x = exits()
    h = model.stem(x)
    for stage, bottleneck in zip(model.stages, model.bottlenecks, strict=True):
        h = stage(h)
        assert bottleneck(h).shape == (6, 16, 8, 8)


def test_what_shallow_exits_are_taught_does_not_move_the_deepest() -> None:
    _, model, x = exits()
    y = torch.arange(6)
    found, features = model.both(x)
    all_of_it = self_distillation(found, features, y, soft=0.5, temperature=3.0, hint=0.1)
    shallow = all_of_it - F.cross_entropy(found[:, 2], y)
    shallow.backward()
    deepest = [*model.stages[2].parameters(), *model.heads[2].parameters()]
    assert all(p.grad is None or not p.grad.abs().max() > 1e-6 for p in deepest)
    below = [*model.stages[1].parameters(), *model.heads[0].parameters()]
    assert all(p.grad is not None and p.grad.abs().max() > 1e-6 for p in below)


def test_the_loss_of_exits_is_the_sum_by_hand_and_deep_supervision_without_a_teacher() -> None:
    z, f, y = logits(4, 3, 5), logits(4, 3, 2, seed=1), torch.tensor([0, 1, 2, 3])
    ce = [F.cross_entropy(z[:, k].float(), y).item() for k in range(3)]
    kd = [9 * soft_cross_entropy(z[:, k], z[:, 2], 3.0).item() for k in range(2)]
    hints = [sum((f[i, k, j] - f[i, 2, j]).item() ** 2 for i in range(4) for j in range(2)) for k in range(2)]
    expected = ce[2] + sum(0.9 * ce[k] + 0.1 * kd[k] + 1e-3 * hints[k] for k in range(2))
    found = self_distillation(z, f, y, soft=0.1, temperature=3.0, hint=1e-3)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert self_distillation(z, f, y, soft=0, temperature=3.0, hint=0).item() == pytest.approx(
        sum(ce), rel=1e-5
    )


def test_own_teacher_is_a_loss_of_fit() -> None:
    _, model, x = exits()
    batch = Batch(x, torch.arange(6), torch.arange(6))
    model.eval()
    expected = self_distillation(*model.both(x), batch.y, soft=0.1, temperature=3.0, hint=1e-6)
    assert torch.allclose(own_teacher(0.1, 3.0, 1e-6)(model, batch), expected)

"""Outlier Exposure: its losses against pytorch-ood and by hand, its batches, and the case in the plane."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labkit.data.augment import raw
from labkit.data.batches import Batch, Loader
from labkit.data.images import Images
from labkit.data.vision import torchvision  # noqa: F401  pytorch_ood imports it bare
from labkit.measure.detection import detection
from labkit.randomness import stream
from labkit.training.fit import Loss, fit
from labkit.uncertainty.outlier_exposure import OUTLIER, Joint, energy_margins, exposure, in_turn, to_uniform
from labkit.uncertainty.plane import SECTORS, blobs, ring, trained
from labkit.uncertainty.scores import msp

KNOWN, OTHER, CLASSES = 6, 10, 4


class Counted(nn.Module):
    """Hands out given logits, and counts how often it was asked."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits, self.calls = logits, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.logits


@pytest.fixture
def logits() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = 3 * torch.randn(KNOWN + OTHER, CLASSES, generator=generator, dtype=torch.float64)
    return values.requires_grad_()


@pytest.fixture
def batch() -> Batch:
    y = torch.cat([torch.arange(KNOWN) % CLASSES, torch.full((OTHER,), OUTLIER)])
    return Batch(torch.zeros(KNOWN + OTHER, 1), y, torch.arange(len(y)))


def value(loss: Loss, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    model = Counted(logits)
    found = loss(model, batch)
    assert model.calls == 1, "images and outliers share one forward pass"
    return found


def test_the_loss_is_that_of_pytorch_ood_rescaled(logits: torch.Tensor, batch: Batch) -> None:
    """Theirs is a mean over the joint batch, the paper's code takes a mean over each kind."""
    from pytorch_ood.loss import OutlierExposureLoss

    theirs = OutlierExposureLoss(0.5 * KNOWN / OTHER)(logits.float(), batch.y) * (KNOWN + OTHER) / KNOWN
    assert value(exposure(0.5), logits, batch).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_energy_margins_are_those_of_pytorch_ood(logits: torch.Tensor, batch: Batch) -> None:
    from pytorch_ood.loss import EnergyRegularizedLoss

    theirs = EnergyRegularizedLoss(0.1, -6.0, -4.0)(logits, batch.y)
    assert value(energy_margins(0.1, -6.0, -4.0), logits, batch).item() == pytest.approx(theirs.item())


def test_its_gradient_by_hand(logits: torch.Tensor, batch: Batch) -> None:
    """(softmax - onehot) / N for images, 0.5 (softmax - 1/C) / M for outliers."""
    [gradient] = torch.autograd.grad(value(exposure(0.5), logits, batch), logits)
    by_hand = logits.detach().softmax(1)
    by_hand[range(KNOWN), batch.y[:KNOWN]] -= 1
    by_hand[:KNOWN] /= KNOWN
    by_hand[KNOWN:] = 0.5 * (by_hand[KNOWN:] - 1 / CLASSES) / OTHER
    assert torch.allclose(gradient, by_hand, atol=1e-12)


def test_nothing_is_nearer_to_uniform_than_uniform() -> None:
    assert to_uniform(torch.full((1, 8), 3.0)).item() == pytest.approx(torch.tensor(8.0).log().item())
    assert to_uniform(torch.tensor([[3.0, 0, 0, 0]])) > to_uniform(torch.tensor([[1.0, 0, 0, 0]]))


def pictures(name: str, n: int, shade: int) -> Images:
    x = torch.full((n, 1, 4, 4), shade, dtype=torch.uint8)
    return Images(name, x, torch.arange(n) % 2, ("a", "b"), name)


def test_a_joint_batch_keeps_images_and_outliers_apart() -> None:
    joint = Joint(Loader(pictures("in", 9, 1), 3, [raw], 0), Loader(pictures("out", 8, 7), 4, [raw], 1))
    assert len(joint) == 3
    for step in (0, 5):
        found = joint.batch(step)
        assert found.x[:3].unique().tolist() == [1]
        assert found.x[3:].unique().tolist() == [7]
        assert found.y[3:].tolist() == [OUTLIER] * 4
        assert set(found.y[:3].tolist()) <= {0, 1}
        again = joint.batch(step)
        assert torch.equal(found.index, again.index)


def test_classes_give_images_in_turn() -> None:
    y = torch.tensor([3, 3, 3, 1, 3, 1, 2])
    images = Images("few", torch.arange(7).view(7, 1, 1, 1), y, tuple("abcd"), "few")
    assert in_turn(images, 3).x.flatten().tolist() == [0, 3, 6], "one of each"
    assert in_turn(images, 6).x.flatten().tolist() == [0, 3, 6, 1, 5, 2], "2 has no more"
    assert len(in_turn(images, 9)) == 7
    assert in_turn(images, 3).fingerprint != in_turn(images, 4).fingerprint


def test_fit_takes_joint_batches() -> None:
    joint = Joint(Loader(pictures("in", 8, 1), 4, [raw], 0), Loader(pictures("out", 8, 7), 4, [raw], 1))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    before = to_uniform(model(torch.full((1, 1, 4, 4), 7.0))).item()
    fit(model, joint, 30, optimizer, loss=exposure(5.0), precision="float32")
    assert to_uniform(model(torch.full((1, 1, 4, 4), 7.0))).item() < before


def test_the_plane_has_the_form_it_says() -> None:
    points, classes = blobs(3000, stream(0, 1))
    assert points.norm(dim=1).mean().item() == pytest.approx(2.06, abs=0.05)
    assert classes.unique().tolist() == [0, 1, 2]
    centre = points[classes == 0].mean(0)
    assert torch.allclose(centre, torch.tensor([2.0, 0.0]), atol=0.1)
    first = ring(2000, 1, stream(0, 2))
    angle = torch.atan2(first[:, 1], first[:, 0])
    assert 0 <= angle.min() <= angle.max() <= 2 * torch.pi / SECTORS + 1e-6
    assert 4 <= first.norm(dim=1).min() <= first.norm(dim=1).max() <= 7


def test_more_sectors_of_outliers_are_more_worth() -> None:
    """The measured course of the card: 53, 54, 58, 73, 100 for 0, 1, 2, 5, 10 sectors."""
    found = {}
    for sectors in (0, 5, SECTORS):
        torch.manual_seed(0)
        outliers = ring(400, sectors, stream(0, 2))[: 400 if sectors else 0]
        model = trained(blobs(600, stream(0, 1)), outliers)
        with torch.no_grad():
            test, classes = blobs(1000, stream(0, 3))
            assert (model(test).argmax(1) == classes).float().mean() > 0.99
            inside, outside = msp(model(test)), msp(model(ring(1000, SECTORS, stream(0, 4))))
        found[sectors] = detection(inside, outside).auroc
    assert found[0] < 0.65
    assert found[0] + 0.05 < found[5] < found[SECTORS]
    assert found[SECTORS] > 0.99

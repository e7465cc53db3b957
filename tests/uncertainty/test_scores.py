"""Scores against their identities, in float64, and against pytorch-ood."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.data.vision import torchvision  # noqa: F401  pytorch_ood imports it bare
from labkit.measure.predict import logits as logits_of
from labkit.models.normalized import Normalized
from labkit.models.resnet import resnet8
from labkit.uncertainty.scores import SCORES, energy, mean_gap, moved_logits, msp, odin, uphill

LOGITS = 6 * torch.randn(500, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_log_msp_is_the_largest_logit_plus_the_energy() -> None:
    assert torch.allclose(msp(LOGITS).log(), LOGITS.amax(1) - energy(LOGITS), atol=1e-12)


def test_scores_are_larger_for_what_is_surer() -> None:
    sure, unsure = torch.tensor([[9.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    for name, score in SCORES.items():
        assert score(sure) > score(unsure), name


def test_at_a_high_temperature_odin_ranks_by_the_mean_gap() -> None:
    assert spearmanr(odin(LOGITS), mean_gap(LOGITS)).statistic > 0.999
    assert spearmanr(msp(LOGITS), mean_gap(LOGITS)).statistic < 0.99
    gaps = LOGITS.amax(1, keepdim=True) - LOGITS
    u1, u2 = gaps.mean(1), gaps.square().mean(1)
    series = (1 + u1 / 1000 - u2 / (2 * 1000**2) + u1**2 / 1000**2) / 10
    assert (odin(LOGITS) - series).abs().max() < 1e-6
    assert torch.allclose(mean_gap(LOGITS), u1)


def test_float32_logits_make_no_ties() -> None:
    """In float32 all scores at T = 1000 would lie on a few hundred values."""
    coarse = (LOGITS.float() / 1000).softmax(1).amax(1)
    assert len(coarse.unique()) < len(LOGITS)
    assert len(odin(LOGITS.float()).unique()) == len(LOGITS)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_pytorch_ood_has_the_same_scores_with_the_other_sign(temperature: float) -> None:
    from pytorch_ood.detector import EnergyBased, MaxSoftmax

    assert torch.allclose(odin(LOGITS, temperature), -MaxSoftmax.score(LOGITS, temperature))
    assert torch.allclose(energy(LOGITS, temperature), -EnergyBased.score(LOGITS, temperature))


@pytest.fixture
def network() -> Normalized:
    torch.manual_seed(1)
    return Normalized(resnet8(), [120.0] * 3, [60.0, 50.0, 70.0]).eval()


def test_pytorch_ood_moves_images_as_we_do(network: Normalized) -> None:
    from pytorch_ood.detector.odin import odin_preprocessing

    x = 255 * torch.rand(8, 3, 32, 32)
    direction = uphill(network, x)
    theirs = odin_preprocessing(network, x, eps=255 * 0.002, temperature=1000.0)
    assert torch.equal(x + 255 * 0.002 * direction, theirs)
    assert set(direction.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert not direction.requires_grad
    assert all(p.grad is None for p in network.parameters())


def test_moved_logits_come_in_batches_and_leave_the_mode(network: Normalized) -> None:
    x = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    images = Images("few", x, torch.zeros(7, dtype=torch.int64), ("none",), "few")
    network.train()
    still, moved = moved_logits(network, images, [raw], (0.0, 0.01), size=3)
    assert network.training
    assert torch.allclose(still, logits_of(network, images, [raw]), atol=1e-4)
    by_hand = x.float() + 255 * 0.01 * uphill(network.eval(), x.float())
    with torch.no_grad():
        assert torch.allclose(moved, network(by_hand), atol=1e-3)
    assert odin(moved).mean() > odin(still).mean(), "uphill makes the network surer"


def test_a_linear_network_is_moved_as_computed_by_hand() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, -1, 0, 2], [0, 0, 3, 0]]))
    x = torch.tensor([[[[5.0, 1], [1, 1]]]])  # logits 6 and 3: class 0, uphill is w0 - w1
    assert torch.equal(uphill(model, x), torch.tensor([[[[1.0, -1], [-1, 1]]]]))

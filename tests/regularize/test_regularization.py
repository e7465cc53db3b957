"""Cutout, mixup, the rotation head, calibration, corruptions and FGSM against counts by hand and peers."""

from __future__ import annotations

import dataclasses
import math
import sys
from functools import partial

import foolbox
import numpy as np
import pytest
import torch
from foolbox.attacks import LinfFastGradientAttack
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.adversarial.attack import attacked_accuracy
from labkit.adversarial.white_box.fgsm import fgsm
from labkit.data import corruptions
from labkit.data.batches import Batch
from labkit.data.corruptions import FAMILIES, KINDS, SEVERITIES, corrupted
from labkit.data.cutout import cutout, hidden
from labkit.data.embedded.glyphs import glyphs
from labkit.data.images import Images
from labkit.data.rotations import every_angle, one_angle, turned
from labkit.data.vision import torchvision  # noqa: F401  # makes torchvision importable on any torch
from labkit.errors import LabkitError
from labkit.measure.calibration import (
    calibration_error,
    negative_log_likelihood,
    overconfidence,
    reliability,
)
from labkit.models.two_heads import TwoHeads
from labkit.regularize import mixup
from labkit.regularize.mixup import Mixed, mix, mixup_loss
from labkit.regularize.rotation import rotation_accuracy, rotation_loss


def generator() -> Generator:
    return Generator().manual_seed(0)


def batch(n: int = 6, side: int = 8) -> Batch:
    x = torch.rand(n, 3, side, side, generator=generator()) * 255
    return Batch(x, torch.arange(n) % 3, torch.arange(n))


def two_heads(side: int = 8) -> TwoHeads:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 5), nn.BatchNorm1d(5))
    return TwoHeads(body, nn.Linear(5, 3), nn.Linear(5, 4))


# Cutout


def mean_area(side: int, length: int) -> float:
    """Return the pixels that one square hides, averaged over all centres: counted along one side, squared."""
    half = length // 2
    spans = [len(set(range(side)) & set(range(c - half, c + half))) for c in range(side)]
    return (sum(spans) / side) ** 2


@pytest.mark.parametrize("length", [4, 8, 9, 16, 20])
def test_the_hidden_area_is_that_of_clipped_squares(length: int) -> None:
    mask = hidden(20_000, 32, 32, length, 1, generator())
    assert mask.shape == (20_000, 1, 32, 32)
    areas = mask.sum((1, 2, 3)).double()
    assert (
        areas.max() == (length // 2 * 2) ** 2
    )  # an odd length hides one pixel less a side, as in the paper's code
    assert areas.mean().item() == pytest.approx(mean_area(32, length), rel=0.01)
    assert (areas < areas.max()).any(), "a square near the edge is clipped, not moved"


def test_a_square_is_a_square_and_each_image_has_its_own() -> None:
    mask = hidden(50, 32, 32, 8, 1, generator())[:, 0]
    for one in mask:
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns[None, :])
    assert len({tuple(one.flatten().tolist()) for one in mask}) > 40


def test_every_pixel_is_a_centre_alike() -> None:
    # A square of two pixels a side hides the pixel of its centre and those above and to the left.
    mask = hidden(50_000, 4, 4, 2, 1, generator())[:, 0].double().mean(0)
    ways = torch.tensor([2.0, 2.0, 2.0, 1.0]) / 4  # centres along one side that hide a row
    assert torch.allclose(mask, torch.outer(ways, ways).double(), atol=0.01)


def test_more_holes_hide_more() -> None:
    one = hidden(5_000, 32, 32, 8, 1, generator()).double().mean()
    two = hidden(5_000, 32, 32, 8, 2, generator()).double().mean()
    assert 1.8 * one < two < 2 * one  # they overlap now and then


def test_cutout_fills_with_the_colour_in_all_channels_and_leaves_the_rest() -> None:
    x = torch.full((200, 3, 16, 16), 200, dtype=torch.uint8)
    changed = cutout(6, [10.0, 20.0, 30.0])(x, generator())
    hole = (changed != 200).any(1)
    assert hole.flatten(1).any(1).all(), "applied to every image"
    for channel, colour in enumerate((10.0, 20.0, 30.0)):
        assert (changed[:, channel][hole] == colour).all()
    assert (changed.permute(0, 2, 3, 1)[~hole] == 200).all()
    assert torch.equal(changed, cutout(6, [10.0, 20.0, 30.0])(x, generator()))


# Mixup


def test_mix_is_torchvisions_mixup_for_the_same_share_and_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    sample, classes = batch(), 3
    from torchvision.transforms.v2 import MixUp

    theirs = MixUp(alpha=0.4, num_classes=classes)
    share = 0.3
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self, *shape: torch.tensor(share))
    x, labels = theirs(sample.x, sample.y)
    monkeypatch.setattr(torch, "randperm", lambda n: torch.arange(n).roll(1))  # torchvision's partner
    mixed = mix(sample.x, sample.y, 0.4)
    ours = share * F.one_hot(mixed.y, classes) + (1 - share) * F.one_hot(mixed.partner, classes)
    assert mixed.share == pytest.approx(share)
    assert torch.allclose(mixed.x, x)
    assert torch.allclose(ours.double(), labels.double())
    logits = torch.randn(6, classes, generator=generator())
    assert torch.allclose(mixed.cross_entropy(logits), F.cross_entropy(logits, labels))


def test_shares_are_beta_distributed_and_partners_random() -> None:
    torch.manual_seed(0)
    sample = batch()
    many = [mix(sample.x, sample.y, 0.4) for _ in range(4_000)]
    shares = torch.tensor([mixed.share for mixed in many], dtype=torch.float64)
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.05)  # of Beta(a, a)
    assert len({tuple(mixed.x.flatten().tolist()) for mixed in many[:50]}) == 50


def test_alpha_zero_is_plain_training() -> None:
    sample, model = batch(), two_heads().eval()
    before = torch.get_rng_state()
    assert mix(sample.x, sample.y, 0.0).x is sample.x
    assert torch.equal(mixup_loss(0.0)(model, sample), F.cross_entropy(model(sample.x), sample.y))
    assert torch.equal(torch.get_rng_state(), before)


def test_mixup_loss_is_that_of_the_blend(monkeypatch: pytest.MonkeyPatch) -> None:
    sample, model = batch(), two_heads().eval()
    blend = 0.25 * sample.x + 0.75 * sample.x.flip(0)
    monkeypatch.setattr(mixup, "mix", lambda x, y, alpha: Mixed(blend, y, y.flip(0), 0.25))
    logits = model(blend).log_softmax(1)
    rows = torch.arange(6)
    by_hand = -(0.25 * logits[rows, sample.y] + 0.75 * logits[rows, sample.y.flip(0)]).mean()
    assert torch.allclose(mixup_loss(1.0)(model, sample), by_hand)


# Rotation head


def test_four_quarter_turns_are_none_and_each_image_has_its_own() -> None:
    x = batch(4).x
    turns = torch.tensor([0, 1, 2, 3])
    once = turned(x, turns)
    assert torch.equal(once[0], x[0])
    assert torch.equal(once[1, 0, 0, :], x[1, 0, :, -1]), "the last column is the first row"
    assert torch.equal(once[2], x[2].flip(1, 2))
    again = x
    for _ in range(4):
        again = turned(again, torch.ones(4, dtype=torch.long))
        assert torch.equal(again, x) == (_ == 3)
    assert torch.equal(turned(once, 4 - turns), x)


def test_labels_of_rotations_are_the_turns() -> None:
    x = batch(5).x
    rotated, turns = every_angle(x)
    assert turns.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    for k in range(4):
        assert torch.equal(rotated[turns == k], torch.rot90(x, k, (2, 3)))
    torch.manual_seed(0)
    rotated, turns = one_angle(x.repeat(200, 1, 1, 1))
    assert torch.equal(turned(rotated, -turns), x.repeat(200, 1, 1, 1))
    counts = turns.bincount(minlength=4).double() / 1000
    assert (counts - 0.25).abs().max() < 0.05


@pytest.mark.parametrize("all_angles", [True, False])
def test_the_joint_loss_is_the_sum_by_hand(all_angles: bool) -> None:
    sample, model = batch(), two_heads()
    torch.manual_seed(3)
    joint = rotation_loss(0.5, all_angles=all_angles)(model, sample)
    torch.manual_seed(3)
    rotated, turns = (every_angle if all_angles else one_angle)(sample.x)
    assert len(rotated) == (24 if all_angles else 6)
    features = two_heads().body(torch.cat([sample.x, rotated]))  # BatchNorm sees one batch
    classes = F.cross_entropy(model.classifier(features[:6]), sample.y)
    rotations = F.cross_entropy(model.auxiliary(features[6:]), turns)
    assert torch.allclose(joint, classes + 0.5 * rotations)
    joint.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_rotated_copies_are_not_blended(monkeypatch: pytest.MonkeyPatch) -> None:
    sample, model, seen = batch(), two_heads(), []
    both = model.both
    monkeypatch.setattr(model, "both", lambda x, others: seen.append((x, others)) or both(x, others))
    rotation_loss(0.5, alpha=1.0)(model, sample)
    [(blended, rotated)] = seen
    assert not torch.equal(blended, sample.x)
    assert torch.equal(rotated, every_angle(sample.x)[0])


def test_a_model_of_two_heads_is_its_classifier() -> None:
    sample, model = batch(), two_heads().eval()
    assert torch.equal(model(sample.x), model.classifier(model.body(sample.x)))
    assert torch.allclose(model.both(sample.x, sample.x)[0], model(sample.x))


def test_rotation_accuracy_counts_all_four_angles() -> None:
    class Corner(nn.Module):
        """The corner that is bright tells the turn."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[:, 0, 0, 0], x[:, 0, -1, 0], x[:, 0, -1, -1], x[:, 0, 0, -1]], 1)

    x = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    x[:, :, 0, 0] = 255
    images = Images("corners", x, torch.zeros(4, dtype=torch.long), ("a",), "f")
    model = TwoHeads(Corner(), nn.Identity(), nn.Identity())
    assert rotation_accuracy(model, images) == 1.0
    x[0] = 0  # nothing tells this one's: the first angle is guessed for all four
    assert rotation_accuracy(model, images, size=3) == 13 / 16
    assert model.training


# Calibration


def test_calibration_by_hand() -> None:
    confidences, right = [0.95, 0.85, 0.85, 0.55, 0.5], [True, True, False, False, True]
    probabilities = torch.tensor([[c, 1 - c] for c in confidences])
    labels = torch.tensor([0 if hit else 1 for hit in right])
    bins = reliability(probabilities, labels, bins=10)
    assert [round(each.share, 6) for each in bins] == [0, 0, 0, 0, 0.2, 0.2, 0, 0, 0.4, 0.2]
    assert bins[8].confidence == pytest.approx(0.85)
    assert bins[8].accuracy == 0.5
    by_hand = (abs(1 - 0.5) + abs(0 - 0.55) + 2 * abs(0.5 - 0.85) + abs(1 - 0.95)) / 5
    assert calibration_error(bins) == pytest.approx(by_hand)
    assert overconfidence(bins) == pytest.approx(sum(confidences) / 5 - 3 / 5)
    assert math.isnan(bins[0].accuracy)


def test_edges_belong_to_the_bin_below_as_in_the_paper() -> None:
    bins = reliability(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]), bins=4)
    assert [each.share for each in bins] == [0, 0, 0, 1]
    bins = reliability(torch.tensor([[0.75, 0.25]]), torch.tensor([0]), bins=4)
    assert [each.share for each in bins] == [0, 0, 1, 0]


def test_a_network_that_knows_its_odds_is_calibrated_and_one_that_boasts_is_not() -> None:
    logits = torch.randn(100_000, 4, generator=generator()) * 2
    probabilities = logits.softmax(1)
    labels = torch.multinomial(probabilities, 1, generator=generator()).squeeze(1)
    honest = reliability(probabilities, labels)
    boasting = reliability((3 * logits).softmax(1), labels)
    assert calibration_error(honest) < 0.006
    assert abs(overconfidence(honest)) < 0.006
    assert calibration_error(boasting) > 0.1
    assert overconfidence(boasting) == pytest.approx(calibration_error(boasting), abs=0.005)
    assert negative_log_likelihood(logits, labels) < negative_log_likelihood(3 * logits, labels)


def test_negative_log_likelihood_by_hand() -> None:
    assert negative_log_likelihood(torch.zeros(7, 10), torch.arange(7)) == pytest.approx(math.log(10))
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    by_hand = math.log(1 + math.exp(-2)) / 2 + math.log(1 + math.exp(2)) / 2
    assert negative_log_likelihood(logits, torch.tensor([0, 1])) == pytest.approx(by_hand)
    assert negative_log_likelihood(logits, torch.tensor([0, 0])) == pytest.approx(math.log(1 + math.exp(-2)))


# Corruptions


@pytest.fixture(scope="module")
def pictures() -> Images:
    return glyphs("test", 1_000).first(6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_is_the_same_again_and_grows_with_severity(pictures: Images, kind: str) -> None:
    changed = [corrupted(pictures, kind, severity) for severity in (1, 5)]
    again = corrupted(pictures, kind, 5)
    assert again.fingerprint == changed[1].fingerprint != changed[0].fingerprint
    assert torch.equal(again.x, changed[1].x)
    assert again.x.dtype == torch.uint8
    assert again.x.shape == pictures.x.shape
    assert torch.equal(again.y, pictures.y)
    weak, strong = ((each.x.float() - pictures.x.float()).abs().mean() for each in changed)
    assert 0 < weak < strong


def test_a_corruption_is_the_packages_own(pictures: Images) -> None:
    corrupted(pictures, "contrast", 3)
    import imagecorruptions

    image = pictures.x[0].permute(1, 2, 0).numpy()
    theirs = imagecorruptions.corrupt(image, severity=3, corruption_name="contrast")
    ours = corrupted(pictures, "contrast", 3).x[0].permute(1, 2, 0).numpy()
    assert np.array_equal(ours, theirs)


def test_seed_kind_and_severity_tell_the_noise_apart_and_the_global_generator_stays(pictures: Images) -> None:
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    prints = {
        corrupted(pictures, kind, severity, seed).fingerprint
        for kind in FAMILIES["noise"]
        for severity in SEVERITIES
        for seed in (0, 1)
    }
    assert len(prints) == 2 * 5 * 2
    assert np.array_equal(np.random.random(3), expected)
    grey = dataclasses.replace(pictures, x=torch.full_like(pictures.x, 128))
    noise = [corrupted(grey, "gaussian_noise", severity).x.flatten().double() for severity in (1, 2)]
    assert abs(torch.corrcoef(torch.stack(noise))[0, 1]) < 0.1, "severities share their noise"


def test_there_is_a_kind_of_each_family() -> None:
    assert set(FAMILIES) == {"noise", "blur", "weather", "digital"}
    assert all(FAMILIES.values())


@pytest.mark.parametrize(
    ("kind", "severity", "message"),
    [
        ("fog", 1, r"unknown corruption 'fog'; allowed: gaussian_noise, .*jpeg_compression$"),
        ("contrast", 6, "severity 6 of contrast; allowed: 1, 2, 3, 4, 5"),
    ],
)
def test_another_kind_or_severity_is_refused(
    pictures: Images, kind: str, severity: int, message: str
) -> None:
    with pytest.raises(LabkitError, match=message):
        corrupted(pictures, kind, severity)


def test_a_package_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch, pictures: Images) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "imagecorruptions"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    corruptions._corrupt.cache_clear()
    with pytest.raises(LabkitError, match=r"^imagecorruptions does not load: .*libgl1"):
        corrupted(pictures, "contrast", 1)
    monkeypatch.undo()
    assert corrupted(pictures, "contrast", 1).x.shape == pictures.x.shape


# FGSM


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 8 * 8, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3)
    )


@pytest.mark.parametrize("eps", [1.0, 8.0])
def test_fgsm_is_foolboxs(eps: float) -> None:
    sample, model = batch(), classifier().eval()
    peer = foolbox.PyTorchModel(model, bounds=(0, 255), device="cpu")
    _, theirs, _ = LinfFastGradientAttack()(peer, sample.x, sample.y, epsilons=eps)
    ours = fgsm(model, sample.x, sample.y, eps=eps)
    assert torch.allclose(ours, theirs, atol=1e-3)


def test_fgsm_moves_every_pixel_as_far_as_allowed_and_leaves_the_model() -> None:
    sample, model = batch(), classifier()
    statistics = model[2].running_mean.clone()
    attacked = fgsm(model, sample.x, sample.y, eps=4)
    moved = (attacked - sample.x).abs()
    inside = (sample.x > 4) & (sample.x < 251)
    assert torch.allclose(moved[inside], torch.tensor(4.0), atol=1e-4)
    assert attacked.min() >= 0
    assert attacked.max() <= 255
    assert model.training
    assert torch.equal(model[2].running_mean, statistics)
    model.eval()
    loss = [F.cross_entropy(model(x), sample.y) for x in (sample.x, fgsm(model, sample.x, sample.y, eps=0.5))]
    assert loss[1] > loss[0]


def test_attacked_accuracy_counts_the_images_that_survive_and_puts_the_mode_back() -> None:
    model = classifier().eval()
    x = torch.randint(0, 256, (40, 3, 8, 8), generator=generator(), dtype=torch.uint8)
    images = Images("some", x, model(x.float()).argmax(1), ("a", "b", "c"), "f")
    other = next(k for k in range(40) if images.y[k] != images.y[0])
    seen = []

    def spoil_first_batch(of: nn.Module, pixels: Tensor, y: Tensor) -> Tensor:
        assert not of.training
        seen.append(len(y))
        spoilt = pixels.clone()
        if len(seen) == 1:
            spoilt[:7] = images.x[other].float()
        return spoilt

    model.train()
    survived = attacked_accuracy(model, images, spoil_first_batch, size=7)
    assert model.training
    assert seen == [7, 7, 7, 7, 7, 5]
    assert survived == 1 - int((images.y[:7] != images.y[other]).sum()) / 40
    assert attacked_accuracy(model, images, partial(fgsm, eps=0)) == 1.0
    assert attacked_accuracy(model, images, partial(fgsm, eps=64)) < 0.5

"""Detection measures against cases by hand, scikit-learn and pytorch-ood."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from labkit.data.vision import torchvision  # noqa: F401  pytorch_ood imports it bare
from labkit.errors import LabkitError
from labkit.measure.detection import detection, threshold


def scores(seed: int, n: int, m: int, *, ties: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inside = torch.randn(n, generator=generator, dtype=torch.float64) + 1
    outside = torch.randn(m, generator=generator, dtype=torch.float64)
    return ((3 * inside).round(), (3 * outside).round()) if ties else (inside, outside)


def test_a_case_by_hand() -> None:
    inside, outside = torch.tensor([3.0, 2.0, 2.0, 1.0]), torch.tensor([2.0, 0.0])
    found = detection(inside, outside)
    assert found.auroc == pytest.approx((2 + 1.5 + 1.5 + 1) / 8)
    # at 3: 1 of 1 is inside; at 2 (twice): 3 of 4; at 1: 4 of 5
    assert found.aupr == pytest.approx((1 + 3 / 4 + 3 / 4 + 4 / 5) / 4)
    assert (found.fpr95, found.tnr95) == (0.5, 0.5)


def test_what_is_inside_has_the_larger_scores() -> None:
    low, high = torch.arange(5.0), torch.arange(5.0) + 9
    assert detection(high, low).auroc == 1
    assert detection(high, low).fpr95 == 0
    assert detection(low, high).auroc == 0
    assert detection(low, high).tnr95 == 0
    assert detection(low, low.clone()).auroc == 0.5


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "m"), [(200, 70), (57, 391), (1000, 1000)])
def test_scikit_learn_finds_the_same(n: int, m: int, ties: bool) -> None:
    inside, outside = scores(n, n, m, ties=ties)
    found = detection(inside, outside)
    labels, joint = np.r_[np.ones(n), np.zeros(m)], np.r_[inside.numpy(), outside.numpy()]
    fpr, tpr, _ = roc_curve(labels, joint, drop_intermediate=False)
    assert found.auroc == pytest.approx(roc_auc_score(labels, joint), abs=1e-12)
    assert found.aupr == pytest.approx(average_precision_score(labels, joint), abs=1e-12)
    assert found.fpr95 == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-12)
    assert found.tnr95 == 1 - found.fpr95


def test_pytorch_ood_finds_the_same_with_the_roles_exchanged() -> None:
    from pytorch_ood.metrics import OODMetrics

    inside, outside = scores(3, 400, 300, ties=False)
    metrics = OODMetrics()
    # There outliers are positive, and have the larger scores: with both turned round it is our question.
    metrics.update(torch.cat([inside, outside]), torch.cat([-torch.ones(400), torch.ones(300)]).long())
    theirs, ours = metrics.compute(), detection(inside, outside)
    assert ours.auroc == pytest.approx(float(theirs["AUROC"]), abs=1e-6)
    assert ours.fpr95 == pytest.approx(float(theirs["FPR95TPR"]), abs=1e-6)


def test_the_threshold_keeps_just_enough() -> None:
    inside = torch.arange(100.0)[torch.randperm(100)]
    assert threshold(inside) == 5.0  # 5..99 are 95
    assert threshold(inside, 1.0) == 0.0
    assert threshold(torch.arange(20.0)) == 1.0  # 19 of 20
    assert threshold(torch.arange(21.0)) == 1.0  # 19 of 21 are too few, 20 are enough
    tied = torch.tensor([1.0] * 10 + [2.0] * 90)
    assert (tied >= threshold(tied)).float().mean() >= 0.95


def test_what_is_no_score_is_refused() -> None:
    good = torch.arange(3.0)
    with pytest.raises(LabkitError, match="one number an input"):
        detection(torch.zeros(0), good)
    with pytest.raises(LabkitError, match="one number an input"):
        detection(good, torch.zeros(3, 2))
    with pytest.raises(LabkitError, match="1 of 2 scores are no numbers"):
        detection(good, torch.tensor([1.0, torch.nan]))

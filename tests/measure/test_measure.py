"""Accuracy and intervals against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.measure.intervals import mean_interval
from labkit.measure.predict import accuracy, logits


class FirstPixel(nn.Module):
    """Says that the class is the value of the first pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(x[:, 0, 0, 0].long(), 10).float() + (1.0 if self.training else 0.0)


def test_accuracy_counts_what_is_right_in_eval_mode() -> None:
    x = torch.zeros(7, 3, 4, 4, dtype=torch.uint8)
    x[:, 0, 0, 0] = torch.tensor([0, 1, 2, 3, 4, 5, 6])
    images = Images("some", x, torch.tensor([0, 1, 2, 3, 9, 9, 9]), tuple("0123456789"), "f")
    model = FirstPixel().train()
    assert accuracy(model, images, [raw]) == pytest.approx(4 / 7)
    assert logits(model, images, [raw], size=3).sum() == 7  # eval mode, all batches, the short last one too
    assert model.training


def test_the_t_interval_of_three_numbers() -> None:
    # mean 2, standard deviation 1, t(0.975, 2) = 4.302653 (tables): 2 +- 4.302653 / sqrt(3)
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2
    assert interval.high == pytest.approx(2 + 4.302653 / math.sqrt(3), rel=1e-6)
    assert interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3), rel=1e-6)


def test_one_number_has_no_interval_and_none_has_no_mean() -> None:
    assert math.isnan(mean_interval([1.0]).low)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    values = torch.randn(2_000, 4, generator=torch.Generator().manual_seed(0)).tolist()
    held = sum(interval.low < 0 < interval.high for interval in map(mean_interval, values))
    assert 0.93 < held / 2_000 < 0.97

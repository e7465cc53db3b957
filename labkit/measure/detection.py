"""How well a score tells one kind of input from another.

The kind that is inside (in-distribution) is the positive one, and should have the larger scores. Some public
code counts outliers as positive; its FPR95 is then another quantity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from labkit.errors import LabkitError


@dataclass(frozen=True)
class Detection:
    """What two sets of scores are worth, each a share in 0..1.

    Attributes:
        auroc: probability that an input inside scores above one outside, ties counted as half.
        aupr: average precision of the inputs inside; it depends on how many there are of each kind.
        fpr95: share of the outside that is taken for inside where at least 95 % of the inside are.
        tnr95: 1 - fpr95, the share of the outside that is turned away there.
    """

    auroc: float
    aupr: float
    fpr95: float
    tnr95: float


def detection(inside: Tensor, outside: Tensor) -> Detection:
    """Return all four from scores, (N,) and (M,), larger for what is inside.

    Raises LabkitError where there are none of a kind, or some are no numbers.
    """
    a, b = _ascending(inside), _ascending(outside)
    above = len(b) - np.searchsorted(b, a)  # scores outside at least as large as each inside
    strictly = len(b) - np.searchsorted(b, a, "right")
    kept = len(a) - np.searchsorted(a, a)
    auroc = 1 - float(np.mean(above + strictly)) / (2 * len(b))
    fpr95 = above[_first_kept(len(a), 0.95)].item() / len(b)
    return Detection(auroc, float(np.mean(kept / (kept + above))), fpr95, 1 - fpr95)


def threshold(inside: Tensor, share: float = 0.95) -> float:
    """Return the largest of the scores `inside`, (N,), that keeps at least `share` of them (score >= it).

    Raises LabkitError as `detection`.
    """
    scores = _ascending(inside)
    return float(scores[_first_kept(len(scores), share)])


def _first_kept(n: int, share: float) -> int:
    """Return where, in ascending order, those begin that are kept: at least `share` of all `n`."""
    return n - math.ceil(share * n - 1e-9)  # 0.95 * 20 is 19, whatever floating point makes of it


def _ascending(scores: Tensor) -> NDArray[np.floating]:
    if scores.ndim != 1 or not len(scores):
        raise LabkitError(f"scores have the shape {tuple(scores.shape)}; one number an input is needed")
    found = np.sort(scores.detach().cpu().numpy())  # what is no number comes last
    if np.isnan(found[-1]):
        raise LabkitError(f"{int(np.isnan(found).sum())} of {len(found)} scores are no numbers")
    return found

"""Can classes be told apart by these vectors? A linear classifier on half of them says."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor


def linear_probe(x: Tensor, y: Tensor, *, shuffle: int | None = None) -> float:
    """Return the accuracy, 0..1, of logistic regression from `x` (N, n) to labels `y` (N,).

    It is fitted on the first half, standardised, and judged on the second. With `shuffle`, a seed, the labels
    of the first half are permuted before: what is left is chance.
    """
    vectors, labels = x.double().cpu().numpy(), y.cpu().numpy()
    half = len(labels) // 2
    known = labels[:half]
    if shuffle is not None:
        known = np.random.default_rng(shuffle).permutation(known)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(vectors[:half], known)
    return float(probe.score(vectors[half:], labels[half:]))

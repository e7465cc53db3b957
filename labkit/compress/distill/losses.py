"""What a student is taught by: soft targets of a teacher, of an imaginary one, or of none."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.batches import Batch
from labkit.training.fit import Loss


def soft_cross_entropy(z: Tensor, v: Tensor, temperature: float) -> Tensor:
    """Return CE(p, q), mean over the batch, with p = softmax(v / T) the teacher's and q = softmax(z / T).

    `z` and `v` are logits (B, classes), T the `temperature`. It is KL(p || q) plus the entropy of p, which no
    student can change, so both have the same gradient by z: (q - p) / T, over B.
    """
    p = (v.float() if v.dtype != torch.double else v).div(temperature).softmax(1)
    log_q = (z.float() if z.dtype != torch.double else z).div(temperature).log_softmax(1)
    return -(p * log_q).sum(1).mean()


def entropy(v: Tensor, temperature: float) -> Tensor:
    """Return the entropy of softmax(v / temperature) in nats, (B,), for logits `v` (B, classes)."""
    log_p = v.double().div(temperature).log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def distilled(z: Tensor, v: Tensor, y: Tensor, temperature: float, soft: float) -> Tensor:
    """Return soft T^2 CE(p, q) + (1 - soft) CE(y, q at temperature 1), a scalar (Hinton et al. 2015, sec. 2).

    `z` are the student's logits, `v` the teacher's, both (B, classes), `y` int64 labels. The factor T^2 keeps
    the gradient of the soft part at its size whatever the temperature. With `soft` 1 no label is used.
    """
    taught = soft * temperature**2 * soft_cross_entropy(z, v, temperature)
    return taught if soft == 1 else taught + (1 - soft) * F.cross_entropy(z, y)


def from_teacher(v: Tensor, temperature: float, soft: float) -> Loss:
    """Return `distilled` as a loss of `fit`, from logits `v` (N, classes) of the N training images."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return distilled(model(batch.x), v[batch.index], batch.y, temperature, soft)

    return loss


def virtual_teacher(y: Tensor, classes: int, correct: float) -> Tensor:
    """Return the teacher that nobody trained: `correct` for the true class, the rest even, (B, classes).

    Yuan et al. (2020), eq. 8. Their teacher at temperature T is the softmax of these *probabilities* over T,
    so they take the place of logits in `distilled`.
    """
    p = torch.full((len(y), classes), (1 - correct) / (classes - 1), device=y.device)
    return p.scatter(1, y.unsqueeze(1), correct)

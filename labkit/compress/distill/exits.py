"""Be your own teacher (Zhang et al. 2019): a classifier behind each stage, taught by the deepest one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.compress.distill.losses import soft_cross_entropy
from labkit.data.batches import Batch
from labkit.models.resnet import BasicBlock, ResNet
from labkit.training.fit import Loss


class Exits(nn.Module):
    """A residual network in three stages, each with a classifier; the last is the network's own.

    Behind the first two stages stands a bottleneck: a 1x1 convolution, one of k x k pixels with stride k that
    makes the picture as small as it is at the end, and a 1x1 to as many channels, each with BatchNorm and
    ReLU; then the mean over the picture and a linear layer. Takes (B, 3, H, W), returns logits (B, 3,
    classes).
    """

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        layers = list(copy.deepcopy(network))
        blocks = [layer for layer in layers if isinstance(layer, BasicBlock)]
        each = len(blocks) // 3
        widths = [blocks[each * (k + 1) - 1].conv2.out_channels for k in range(3)]
        head = layers[-1]
        assert isinstance(head, nn.Linear)
        self.stem = nn.Sequential(*layers[: layers.index(blocks[0])])
        self.stages = nn.ModuleList(nn.Sequential(*blocks[each * k : each * (k + 1)]) for k in range(3))
        self.bottlenecks = nn.ModuleList(
            [_bottleneck(widths[0], widths[2], 4), _bottleneck(widths[1], widths[2], 2), nn.Identity()]
        )
        self.heads = nn.ModuleList([*(nn.Linear(widths[2], head.out_features) for _ in range(2)), head])

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, (B, 3, classes), and what each classifier reads, (B, 3, features)."""
        x, features = self.stem(x), []
        for stage, bottleneck in zip(self.stages, self.bottlenecks, strict=True):
            x = stage(x)
            features.append(bottleneck(x).mean((2, 3)))
        logits = [head(feature) for head, feature in zip(self.heads, features, strict=True)]
        return torch.stack(logits, 1), torch.stack(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all classifiers, the deepest last, (B, 3, classes)."""
        return self.both(x)[0]


def _bottleneck(inputs: int, outputs: int, reduction: int) -> nn.Sequential:
    def layer(into: int, kernel: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, into, kernel, kernel, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        return [conv, nn.BatchNorm2d(into), nn.ReLU()]

    return nn.Sequential(*layer(inputs, 1), *layer(inputs, reduction), *layer(outputs, 1))


def self_distillation(
    logits: Tensor, features: Tensor, y: Tensor, *, soft: float, temperature: float, hint: float
) -> Tensor:
    """Return the loss of all classifiers of a batch, a scalar (Zhang et al. 2019, eq. 7).

    The deepest has its cross-entropy alone. Each other has (1 - soft) of its own, `soft` T^2 CE from the
    deepest one's probabilities, and `hint` times the squared distance of its features from the deepest one's,
    *summed* over the batch. The deepest teaches and is not moved by that: it is detached. With `soft` and
    `hint` 0 that is deep supervision. `logits` is (B, exits, classes), `features` (B, exits, F), both of one
    pass.
    """
    logits, features = logits.float(), features.float()
    teacher, goal = logits[:, -1].detach(), features[:, -1].detach()
    loss = F.cross_entropy(logits[:, -1], y)
    for k in range(logits.shape[1] - 1):
        taught = temperature**2 * soft_cross_entropy(logits[:, k], teacher, temperature)
        near = (features[:, k] - goal).square().sum()
        loss = loss + (1 - soft) * F.cross_entropy(logits[:, k], y) + soft * taught + hint * near
    return loss


def own_teacher(soft: float, temperature: float, hint: float) -> Loss:
    """Return `self_distillation` as a loss of `fit`, for an `Exits`."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(model, Exits)
        logits, features = model.both(batch.x)
        return self_distillation(logits, features, batch.y, soft=soft, temperature=temperature, hint=hint)

    return loss

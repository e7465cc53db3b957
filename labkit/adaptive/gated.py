"""Residual blocks that run only the channels an image needs (Ehteshami Bejnordi et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.adaptive.decisions import Decisions
from labkit.measure.flops import multiply_adds
from labkit.models.resnet import BasicBlock

TEMPERATURE = 2 / 3  # of the relaxed gates
OPEN = 2.0  # logits at the start: seven gates of eight are open, as if there were hardly any
Surrogate = Literal["straight-through", "cut", "soft", "unsaturated"]


class Gate(nn.Module):
    """Decides for each image which of `channels` run: GAP, FC(16), BatchNorm, ReLU, FC(channels) = a.

    In train mode a gate is on where the relaxed Bernoulli y = sigmoid((a + noise * logistic noise) / T)
    exceeds 1/2, in eval mode where a > 0. Either way the output is 0 or 1 and the gradient that of y, without
    noise in eval mode. `surrogate` changes the latter, for attacks: `cut` lets none through, `soft` makes the
    gate itself sigmoid(a / T), and `unsaturated` has the slope 1/4 wherever a is, where the two others have
    none for a gate that is sure. `probability` is sigmoid(a) of the last batch, (B, channels). With `noise` 1
    that is the probability with which a gate is open; `GateSchedule` takes the noise away. `opening` is the
    logit of all gates at the start.
    """

    def __init__(self, inputs: int, channels: int, hidden: int = 16, *, opening: float = OPEN) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        nn.init.constant_(self.net[-1].bias, opening)  # type: ignore[arg-type]
        self.noise = 1.0
        self.surrogate: Surrogate = "straight-through"
        self.probability = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates, (B, channels), for a block input (B, inputs, H, W)."""
        a: Tensor = self.net(x.mean((2, 3))).float()  # bfloat16 would round the noise near 1 to infinity
        self.probability = torch.sigmoid(a)
        if self.training:
            u = torch.rand_like(a).clamp(1e-6, 1 - 1e-6)
            a = a + self.noise * torch.logit(u)
        y = torch.sigmoid(a / TEMPERATURE)
        hard: Tensor = (a > 0).to(y.dtype)
        if self.surrogate == "soft":
            return y
        if self.surrogate == "cut":
            return hard
        return hard + ((a - a.detach()) / 4 if self.surrogate == "unsaturated" else y - y.detach())


class GatedBlock(nn.Module):
    """A basic block whose inner channels are gated: W2 * (G(x) . ReLU(BN(W1 * x))), BN, plus the shortcut.

    A closed gate spares an output channel of the first convolution and an input channel of the second.
    """

    def __init__(self, block: BasicBlock, opening: float = OPEN) -> None:
        super().__init__()
        self.block = block
        self.gate = Gate(block.conv1.in_channels, block.conv1.out_channels, opening=opening)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, as of the block without gates; every channel is computed."""
        block, gates = self.block, self.gate(x)
        y = F.relu(block.bn1(block.conv1(x))) * gates[:, :, None, None]
        return F.relu(block.bn2(block.conv2(y)) + block.shortcut(x))


def make_gated(model: nn.Module, opening: float = OPEN) -> dict[str, GatedBlock]:
    """Put gates, whose logits start at `opening`, on every basic block in place; return these by name."""
    plain = [(name, module) for name, module in model.named_modules() if isinstance(module, BasicBlock)]
    blocks = {}
    for name, block in plain:
        parent, _, child = name.rpartition(".")
        blocks[name] = GatedBlock(block, opening)
        setattr(model.get_submodule(parent), child, blocks[name])
    return blocks


def only_open(block: GatedBlock, x: Tensor) -> Tensor:
    """Return the output of `block` in eval mode for a single image (1, C, H, W), running open channels only.

    The weights of closed channels are left out, so that they cost nothing.
    """
    assert len(x) == 1
    assert not block.training
    whole, on = block.block, block.gate(x)[0] > 0.5
    bn, conv1, conv2 = whole.bn1, whole.conv1, whole.conv2
    assert bn.running_mean is not None
    assert bn.running_var is not None
    shortcut = whole.shortcut(x)
    if not on.any():
        return F.relu(whole.bn2(torch.zeros_like(shortcut)) + shortcut)
    y = F.conv2d(x, conv1.weight[on], None, conv1.stride, padding=1)
    y = F.batch_norm(y, bn.running_mean[on], bn.running_var[on], bn.weight[on], bn.bias[on], eps=bn.eps)
    y = F.conv2d(F.relu(y), conv2.weight[:, on], None, padding=1)
    return F.relu(whole.bn2(y) + shortcut)


@contextmanager
def sliced(blocks: Iterable[GatedBlock]) -> Iterator[None]:
    """Within, each of `blocks` returns what `only_open` does: in eval mode, for one image at a time."""
    hooks = [block.register_forward_hook(lambda block, x, _: only_open(block, x[0])) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def spent(
    model: nn.Module, blocks: Mapping[str, GatedBlock], gates: Decisions, shape: tuple[int, int, int]
) -> Tensor:
    """Return the multiply-adds of `model` for each image of `shape` (C, H, W), (N,), float64.

    They are what torch counts when all channels run, less what each closed one of `gates` spares: its part of
    both convolutions of its block. Gate nets and layers without gates are counted whole.
    """
    counted = multiply_adds(model, shape)
    first = next(iter(gates.values()))
    total = torch.full((len(first),), float(counted[""]), dtype=torch.float64, device=first.device)
    for name in blocks:
        both = counted[f"{name}.block.conv1"] + counted[f"{name}.block.conv2"]
        total -= (1 - gates[name].double()).mean(1) * both
    return total

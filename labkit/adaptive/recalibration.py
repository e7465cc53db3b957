"""BatchNorm's statistics, estimated again for a network with parts missing."""

from __future__ import annotations

import copy

import torch
from torch import Generator, Tensor, nn

from labkit.adaptive.chain import Chain
from labkit.data.augment import raw
from labkit.data.images import Images


@torch.no_grad()
def recalibrated(chain: Chain, images: Images, keep: Tensor, size: int = 125) -> Chain:
    """Return a copy of `chain` whose running statistics are those of `images` under the policies `keep`.

    `keep`, bool (N, units), says which units run for which image. Statistics are plain averages over batches
    of `size`. No weight changes, and units that never run keep their statistics.
    """
    new = copy.deepcopy(chain)
    new.train()
    for module in new.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain average
    for begin in range(0, len(images), size):
        new(raw(images.x[begin : begin + size], Generator()), keep[begin : begin + size])
    for old, module in zip(chain.modules(), new.modules(), strict=True):
        if isinstance(old, nn.BatchNorm2d) and isinstance(module, nn.BatchNorm2d):
            module.momentum = old.momentum
            if not module.num_batches_tracked:
                module.load_state_dict(old.state_dict())
    return new.eval()

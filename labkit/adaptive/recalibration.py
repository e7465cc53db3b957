"""BatchNorm's statistics, estimated again for a network with parts missing."""

from __future__ import annotations

import copy

import torch
from torch import Generator, nn

from labkit.adaptive.chain import Chain, Program
from labkit.data.augment import raw
from labkit.data.images import Images


@torch.no_grad()
def recalibrated(chain: Chain, program: Program, images: Images, size: int = 125) -> Chain:
    """Return a copy of `chain` whose running statistics are those of `program` on `images`.

    They are plain averages over batches of `size`. No weight changes; units that do not run keep theirs.
    """
    new = copy.deepcopy(chain)
    new.train()
    for module in new.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain average
    for begin in range(0, len(images), size):
        new.follow(new.stem(raw(images.x[begin : begin + size], Generator())), program)
    for old, module in zip(chain.modules(), new.modules(), strict=True):
        if isinstance(old, nn.BatchNorm2d) and isinstance(module, nn.BatchNorm2d):
            module.momentum = old.momentum
            if not module.num_batches_tracked:
                module.load_state_dict(old.state_dict())
    return new.eval()

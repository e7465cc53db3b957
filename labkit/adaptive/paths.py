"""The paths of a residual network: their number, and the gradient along one (Veit et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from labkit.adaptive.chain import Chain
from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.models.parts import evaluating
from labkit.models.resnet import BasicBlock


def paths_of_length(blocks: int) -> list[int]:
    """Return how many of the 2^blocks paths lead through 0, 1, ..., `blocks` residual branches."""
    return [math.comb(blocks, length) for length in range(blocks + 1)]


def branch(block: BasicBlock, x: Tensor) -> Tensor:
    """Return the residual branch of `block` alone, without shortcut and last ReLU."""
    return block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))  # type: ignore[no-any-return]


def along_path(chain: Chain, x: Tensor, y: Tensor, branches: Collection[int]) -> Tensor:
    """Return the gradient of each image's cross-entropy by the first block's input, along one path.

    The path leads through the residual branches of the blocks in `branches` and the shortcuts of all others.
    Values are those of the whole network, in eval mode; only what flows back is cut. The gradients of all
    paths add up to that of the network. `chain` holds residual blocks; x are pixels 0..255, y labels.
    """
    with evaluating(chain):
        with torch.no_grad():
            start = chain.stem(x)
        start.requires_grad_()
        with torch.enable_grad():
            state = start
            for k, block in enumerate(chain.units):
                assert isinstance(block, BasicBlock)
                if k in branches:
                    state = F.relu(branch(block, state) + block.shortcut(state).detach())
                else:
                    with torch.no_grad():
                        constant = branch(block, state)
                    state = F.relu(constant + block.shortcut(state))
            loss = F.cross_entropy(chain.head(state), y, reduction="sum")
            return torch.autograd.grad(loss, start)[0]


def gradient_sizes(
    chain: Chain, x: Tensor, y: Tensor, length: int, draws: int, generator: Generator
) -> list[float]:
    """Return the mean L2 norm of an image's gradient along each of `draws` random paths of that length."""
    sizes = []
    for _ in range(draws):
        branches = torch.randperm(len(chain), generator=generator)[:length].tolist()
        sizes.append(along_path(chain, x, y, branches).flatten(1).norm(dim=1).mean().item())
    return sizes


@torch.no_grad()
def contributions(chain: Chain, images: Images) -> list[float]:
    """Return the L2 norm of each block's branch over that of its shortcut, mean over images."""
    found = []
    with evaluating(chain):
        state = chain.stem(raw(images.x, Generator()))
        for block in chain.units:
            assert isinstance(block, BasicBlock)
            parts = branch(block, state), block.shortcut(state)
            sizes = [part.flatten(1).norm(dim=1) for part in parts]
            found.append((sizes[0] / sizes[1]).mean().item())
            state = F.relu(parts[0] + parts[1])
    return found

"""BlockDrop: a policy network that says which residual blocks run for an image (Wu et al. 2018).

Which images a block runs for is a policy `keep`, bool (B, blocks). s are the policy network's probabilities
of keeping, (B, blocks), the sigmoids of its outputs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.adaptive.chain import Chain, answered, without
from labkit.data.augment import raw
from labkit.data.batches import Batch
from labkit.data.images import Images
from labkit.measure.flops import multiply_adds
from labkit.measure.predict import logits
from labkit.models.parts import evaluating
from labkit.models.resnet import BasicBlock
from labkit.training.callbacks import Callback, Training

ALPHA = 0.8  # how far the probabilities that are sampled from may lie from 1/2


def reward(keep: Tensor, right: Tensor, gamma: float) -> Tensor:
    """Return 1 - (share of blocks kept)^2 where `right`, bool (B,), and -gamma where not, (B,)."""
    return torch.where(right, 1 - keep.double().mean(1).square(), -gamma).float()


def explored(s: Tensor, alpha: float = ALPHA) -> Tensor:
    """Return the probabilities to sample from, alpha s + (1 - alpha)(1 - s): never nearly 0 or 1."""
    return alpha * s + (1 - alpha) * (1 - s)


def log_probability(keep: Tensor, p: Tensor, free: int) -> Tensor:
    """Return the logarithm of the probability of the last `free` blocks of `keep` under `p`, (B,)."""
    each = torch.where(keep, p, 1 - p).log()
    return each[:, -free:].sum(1)


def forced(keep: Tensor, free: int) -> Tensor:
    """Return `keep` with all blocks kept but, perhaps, some of the last `free`."""
    given = torch.arange(keep.shape[1], device=keep.device) < keep.shape[1] - free
    return keep | given


def sampled(p: Tensor) -> Tensor:
    """Return a policy drawn with probabilities `p`; random numbers are drawn on the CPU."""
    return torch.rand(p.shape).to(p.device) < p


class PolicyLoss:
    """The loss of a policy network for a frozen `chain`: -(R(u) - R(greedy)) log p(u), mean over the batch.

    u is sampled with the probabilities p, greedy keeps what has s >= 1/2; neither reward has a gradient. Less
    `entropy` times -p log p, summed over all blocks, as in the authors' code. Only the last `free` blocks may
    be left out; `Curriculum` moves that number.
    """

    def __init__(self, chain: Chain, *, gamma: float, alpha: float = ALPHA, entropy: float = 0.1) -> None:
        self.chain, self.gamma, self.alpha, self.entropy = chain, gamma, alpha, entropy
        self.free = len(chain)

    def __call__(self, policy: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of `policy` on `batch`."""
        s = torch.sigmoid(policy(batch.x).float())
        p = explored(s, self.alpha)
        both = [forced(keep, self.free) for keep in (sampled(p.detach()), s.detach() >= 0.5)]
        given = len(self.chain) - self.free
        with evaluating(self.chain), torch.no_grad():
            common = self.chain.stem(batch.x)
            for unit in self.chain.units[:given]:
                common = unit(common)
            found = self.chain.run(torch.cat([common, common]), torch.cat(both), given)
            right = self.chain.head(found).argmax(1).view(2, -1) == batch.y
        gain = reward(both[0], right[0], self.gamma) - reward(both[1], right[1], self.gamma)
        loss = -(gain * log_probability(both[0], p, self.free)).mean()
        bonus: Tensor = torch.special.entr(p).sum(1).mean()
        return loss - self.entropy * bonus


class Curriculum(Callback):
    """Frees one block more, the last first, after every `every` steps: one to begin with."""

    def __init__(self, loss: PolicyLoss, every: int) -> None:
        self.loss, self.every = loss, every

    def on_step_start(self, training: Training) -> None:
        """Set the number of free blocks of the step."""
        self.loss.free = min(len(self.loss.chain), 1 + training.step // self.every)


class BlockDrop(nn.Module):
    """A policy network and the chain that it decides for, to be trained together."""

    def __init__(self, policy: nn.Module, chain: Chain) -> None:
        super().__init__()
        self.policy, self.chain = policy, chain

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits for pixels 0..255, each image with the blocks that its policy keeps."""
        return self.chain(x, self.policy(x) >= 0)  # type: ignore[no-any-return]


class JointLoss:
    """The loss of joint fine-tuning: -(R(u) - R(greedy)) log p(u) plus cross-entropy under u, means.

    The first has a gradient by the policy network alone, the second by the chain alone. Both policies run in
    the mode of the model, so that in training each moves BatchNorm's statistics, as in the authors' code.
    """

    def __init__(self, *, gamma: float, alpha: float = ALPHA) -> None:
        self.gamma, self.alpha = gamma, alpha

    def __call__(self, model: BlockDrop, batch: Batch) -> Tensor:
        """Return the loss of `model` on `batch`."""
        s = torch.sigmoid(model.policy(batch.x).float())
        p = explored(s, self.alpha)
        drawn, greedy = sampled(p.detach()), s.detach() >= 0.5
        with torch.no_grad():
            calm = model.chain(batch.x, greedy)
        answers = model.chain(batch.x, drawn)
        rewards = [
            reward(keep, told.detach().argmax(1) == batch.y, self.gamma)
            for keep, told in ((drawn, answers), (greedy, calm))
        ]
        gain = rewards[0] - rewards[1]
        policy_loss = -(gain * log_probability(drawn, p, p.shape[1])).mean()
        return policy_loss + F.cross_entropy(answers, batch.y)


def policies(policy: nn.Module, images: Images) -> Tensor:
    """Return the policy of each of `images` in eval mode, bool (N, blocks): kept is what has s >= 1/2."""
    return logits(policy, images, [raw]) >= 0


class PolicyWatch(Callback):
    """Logs every `every` steps what the policy does with `images`, in eval mode.

    `blocks` is the mean number of blocks kept, `accuracy` that of `chain` under the policy, `reward` the mean
    reward, `policies` how many different ones there are. Blocks that `loss`, of a curriculum, does not free
    are kept.
    """

    def __init__(
        self,
        policy: nn.Module,
        chain: Chain,
        images: Images,
        gamma: float,
        every: int,
        loss: PolicyLoss | None = None,
    ) -> None:
        self.policy, self.chain, self.images = policy, chain, images
        self.gamma, self.every, self.loss = gamma, every, loss

    def on_step_end(self, training: Training) -> None:
        """Compute and log all four when it is time."""
        if (training.step + 1) % self.every:
            return
        keep = policies(self.policy, self.images)
        if self.loss is not None:
            keep = forced(keep, self.loss.free)
        right = hits(self.chain, self.images, keep)
        for name, value in (
            ("blocks", keep.sum(1).double().mean()),
            ("accuracy", right.double().mean()),
            ("reward", reward(keep, right, self.gamma).mean()),
            ("policies", torch.tensor(len(keep.unique(dim=0)))),
        ):
            training.history.log(name, training.step, value)


def kept(counts: Tensor, order: Tensor) -> Tensor:
    """Return policies that keep `counts`, int (N,), blocks: given up are the first of `order`.

    `order` has the blocks in the order in which they are given up, (blocks,) or one for each image.
    """
    rank = order.argsort(-1).to(counts.device)
    return rank >= rank.shape[-1] - counts.unsqueeze(1)


@torch.no_grad()
def hits(chain: Chain, images: Images, keep: Tensor, size: int = 250) -> Tensor:
    """Return which of `images` the chain has right in eval mode under the policies `keep`, bool (N,)."""
    found = []
    with evaluating(chain):
        for begin in range(0, len(images), size):
            part = slice(begin, begin + size)
            x = images.x[part].float().contiguous(memory_format=torch.channels_last)
            found.append(chain(x, keep[part]).argmax(1) == images.y[part])
    return torch.cat(found)


def least_missed(chain: Chain, images: Images) -> list[int]:
    """Return the blocks in the order in which greedy elimination gives them up, for all images alike.

    In each round that block goes without which the cross-entropy on `images` is least.
    """
    gone: list[int] = []
    while len(gone) < len(chain):
        left = [block for block in range(len(chain)) if block not in gone]
        programs = [without(len(chain), [*gone, block]) for block in left]
        losses = [F.cross_entropy(told, images.y).item() for told in answered(chain, images, programs)]
        gone.append(left[losses.index(min(losses))])
    return gone


def spent(chain: Chain, keep: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return the multiply-adds of `chain` for each policy of `keep`, (N,) float64, images being of `shape`.

    Counted is what runs: a block that is left out spares its two convolutions, not its shortcut.
    """
    counted = multiply_adds(chain.model, shape)
    names = {module: name for name, module in chain.model.named_modules()}
    spared = torch.zeros(len(chain), dtype=torch.float64, device=keep.device)
    for k, unit in enumerate(chain.units):
        assert isinstance(unit, BasicBlock)
        spared[k] = counted[f"{names[unit]}.conv1"] + counted[f"{names[unit]}.conv2"]
    return counted[""] - (~keep).double() @ spared


@torch.no_grad()
def seconds(calls: Mapping[str, Callable[[Tensor], object]], inputs: Iterable[Tensor]) -> dict[str, float]:
    """Return the median wall time in seconds of each of `calls`, over `inputs`, taken in turn for each."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for x in inputs:
        for name, call in calls.items():
            begun = time.perf_counter()
            call(x)
            taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in taken.items()}

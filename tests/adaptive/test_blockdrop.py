"""BlockDrop against sums over all policies, and against rewards, orders and costs worked out by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.adaptive import blockdrop
from labkit.adaptive.blockdrop import (
    BlockDrop,
    Curriculum,
    JointLoss,
    PolicyLoss,
    PolicyWatch,
    explored,
    forced,
    hits,
    kept,
    least_missed,
    log_probability,
    policies,
    reward,
    sampled,
    seconds,
    spent,
)
from labkit.adaptive.chain import Chain, accuracies, without
from labkit.data.batches import Batch, Loader
from labkit.data.images import Images
from labkit.measure.flops import multiply_adds
from labkit.models.normalized import Normalized
from labkit.models.resnet import ResNet
from labkit.training.callbacks import Training
from labkit.training.fit import fit

EVERY = torch.tensor(list(product((False, True), repeat=3)))


class Fixed(nn.Module):
    """A policy network whose outputs are its parameters, whatever the image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


@pytest.fixture
def images() -> Images:
    x = torch.randint(0, 256, (40, 3, 16, 16), generator=Generator().manual_seed(1), dtype=torch.uint8)
    return Images("some", x, torch.arange(40) % 10, tuple("0123456789"), "f")


@pytest.fixture
def chain() -> Chain:
    """A chain of three blocks that answers differently under different policies."""
    torch.manual_seed(3)
    return Chain(Normalized(ResNet(1, stem_stride=2), [120.0] * 3, [60.0] * 3).eval())


def test_the_reward_is_that_of_the_paper() -> None:
    keep = torch.tensor([[True, True, True], [True, False, False], [False] * 3, [False] * 3])
    right = torch.tensor([True, True, True, False])
    assert reward(keep, right, 5.0).tolist() == pytest.approx([0.0, 1 - 1 / 9, 1.0, -5.0])


def test_exploration_keeps_probabilities_away_from_the_ends() -> None:
    assert explored(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx([0.2, 0.5, 0.8])


def test_probabilities_of_all_policies_add_up_to_one() -> None:
    p = torch.tensor([0.2, 0.5, 0.9])
    logs = log_probability(EVERY, p.expand(8, -1), 3)
    assert logs.exp().sum().item() == pytest.approx(1)
    assert logs[-1].exp().item() == pytest.approx(0.2 * 0.5 * 0.9)
    assert log_probability(EVERY, p.expand(8, -1), 1)[0].exp().item() == pytest.approx(0.1)


def test_forced_blocks_are_kept() -> None:
    assert forced(torch.zeros(2, 4, dtype=torch.bool), 1).tolist() == [[True, True, True, False]] * 2
    assert not forced(torch.zeros(2, 4, dtype=torch.bool), 4).any()


def exact_gradient(logits: Tensor, value: Tensor, alpha: float, free: int) -> Tensor:
    """Return the gradient of the expected reward by `logits`, summing over all 2^3 policies, each by hand."""
    logits = logits.clone().double().requires_grad_()
    s = logits.sigmoid()
    p = alpha * s + (1 - alpha) * (1 - s)
    expected = torch.zeros((), dtype=torch.float64)
    for keep, worth in zip(EVERY, value, strict=True):
        if keep[: 3 - free].all():
            probability = torch.ones((), dtype=torch.float64)
            for k in range(3 - free, 3):
                probability = probability * (p[k] if keep[k] else 1 - p[k])
            expected = expected + probability * worth
    [gradient] = torch.autograd.grad(expected, logits)
    return gradient


@pytest.mark.parametrize("free", [3, 2])
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_the_sampled_gradient_is_on_average_the_exact_one(
    chain: Chain, images: Images, free: int, gamma: float
) -> None:
    # An image that is named rightly under some policies only.
    right = torch.stack([hits(chain, images, keep.expand(40, -1)) for keep in EVERY], 1)
    changing = right[:, EVERY[:, : 3 - free].all(1)]
    one = (changing.any(1) & ~changing.all(1)).nonzero()[0, 0].item()
    value = reward(EVERY, right[one], gamma)
    policy = Fixed(0.4, -0.3, 0.8)
    exact = -exact_gradient(policy.logits.detach(), value, 0.8, free)
    loss = PolicyLoss(chain, gamma=gamma, entropy=0.0)
    loss.free = free
    many = 20_000
    batch = Batch(
        images.x[[one]].float().expand(many, -1, -1, -1), images.y[[one]].expand(many), torch.arange(1)
    )
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:  # the chain's answers are known: look them up
        patch.setattr(chain, "stem", lambda x: x[:, 0, 0, 0])
        patch.setattr(type(chain), "units", property(lambda self: [nn.Identity()] * 3))
        patch.setattr(chain, "run", lambda y, keep, start: keep)
        patch.setattr(
            chain, "head", lambda keep: F.one_hot(told(keep, right[one], images.y[one]), 10).float()
        )
        [mean] = torch.autograd.grad(loss(policy, batch), [policy.logits])
    assert mean.tolist() == pytest.approx(exact.tolist(), abs=0.025 * gamma)
    assert exact.abs().max() > 0.05, "a gradient of nothing would agree with anything"
    assert free == 3 or mean[0] == 0, "a forced block has no gradient"


def told(keep: Tensor, right: Tensor, label: Tensor) -> Tensor:
    """Return the label where the policy is right, another class where not."""
    number = (keep.long() * torch.tensor([4, 2, 1])).sum(1)
    return torch.where(right[number], label, (label + 1) % 10)


def test_the_loss_runs_the_chain_as_the_policies_say(chain: Chain, images: Images) -> None:
    seen: dict[str, Any] = {}
    policy = Fixed(0.4, -0.3, 0.8)
    batch = Batch(images.x.float(), images.y, torch.arange(40))
    loss = PolicyLoss(chain, gamma=2.0, entropy=0.1)
    torch.manual_seed(0)
    value = loss(policy, batch).item()
    torch.manual_seed(0)
    s = policy.logits.detach().sigmoid().expand(40, -1)
    p = explored(s)
    drawn, greedy = sampled(p), s >= 0.5
    seen = {
        name: reward(keep, hits(chain, images, keep), 2.0) for name, keep in (("u", drawn), ("g", greedy))
    }
    expected = -((seen["u"] - seen["g"]) * log_probability(drawn, p, 3)).mean()
    expected = expected - 0.1 * -(p * p.log()).sum(1).mean()
    assert value == pytest.approx(expected.item(), abs=1e-5)
    assert not chain.training


def test_only_last_blocks_are_free_at_first(chain: Chain) -> None:
    loss = PolicyLoss(chain, gamma=1.0)
    curriculum, training = Curriculum(loss, 10), Training({}, 100)
    free = []
    for training.step in (0, 9, 10, 19, 20, 99):
        curriculum.on_step_start(training)
        free.append(loss.free)
    assert free == [1, 1, 2, 2, 3, 3]


def test_a_policy_finds_that_blocks_may_go_when_nothing_depends_on_them(chain: Chain, images: Images) -> None:
    whole = chain.model.model
    with torch.no_grad():
        whole[-1].weight.zero_()  # always the same class, all others wrong
        whole[-1].bias.copy_(torch.arange(10.0))
    same = Images("some", images.x, torch.full((40,), 9), images.classes, "f")
    policy = Fixed(0.5, 0.5, 0.5)
    loss = PolicyLoss(chain, gamma=1.0, entropy=0.0)
    torch.manual_seed(0)
    fit(
        policy,
        Loader(same, 40, [lambda x, _: x.float()], 0),
        25,
        torch.optim.Adam(policy.parameters(), 0.25),
        loss=loss,
    )
    assert not policies(policy, same).any()


def test_what_is_watched_is_what_the_policy_does_with_forced_blocks_kept(
    chain: Chain, images: Images
) -> None:
    policy, training = Fixed(-0.4, -0.3, 0.8), Training({}, 10)
    loss = PolicyLoss(chain, gamma=2.0)
    loss.free = 2
    watch = PolicyWatch(policy, chain, images, 2.0, 5, loss)
    for training.step in range(10):
        watch.on_step_end(training)
    keep = torch.tensor([[True, False, True]]).expand(40, -1)
    right = hits(chain, images, keep)
    for name, value in {
        "blocks": 2.0,
        "accuracy": right.double().mean().item(),
        "reward": reward(keep, right, 2.0).mean().item(),
        "policies": 1.0,
    }.items():
        assert training.history.series(name) == ([4, 9], pytest.approx([value] * 2))
    free = PolicyWatch(policy, chain, images, 2.0, 5)
    free.on_step_end(training)
    assert training.history.series("blocks")[1][-1] == 1


def test_joint_training_moves_both_parts_each_by_its_own_loss(chain: Chain, images: Images) -> None:
    model, loss = BlockDrop(Fixed(0.4, -0.3, 0.8), chain).train(), JointLoss(gamma=5.0)
    batch = Batch(images.x.float(), images.y, torch.arange(40))
    torch.manual_seed(0)
    loss(model, batch).backward()
    assert isinstance(model.policy, Fixed)
    assert model.policy.logits.grad is not None
    assert model.policy.logits.grad.abs().min() > 0
    weight = chain.model.model[-1].weight
    found = weight.grad.clone()
    torch.manual_seed(0)
    keep = sampled(explored(model.policy.logits.detach().sigmoid()).expand(40, -1))
    [expected] = torch.autograd.grad(F.cross_entropy(chain(batch.x, keep), images.y), weight)
    assert torch.allclose(found, expected, atol=1e-5)


def test_evaluation_is_deterministic_and_by_the_sign(chain: Chain, images: Images) -> None:
    model = BlockDrop(Fixed(0.4, -0.3, 0.8), chain).eval()
    assert policies(model.policy, images).tolist() == [[True, False, True]] * 40
    with torch.no_grad():
        whole = model(images.x.float())
    assert torch.allclose(whole, chain.follow(chain.stem(images.x.float()), [0, None, 2]), atol=1e-4)
    assert hits(
        chain, images, policies(model.policy, images), size=7
    ).double().mean().item() == pytest.approx(accuracies(chain, images, [without(3, [1])])[0])


def test_as_many_blocks_are_kept_as_asked_for_and_the_last_of_the_order() -> None:
    counts, order = torch.tensor([0, 1, 2, 4]), torch.tensor([3, 0, 2, 1])  # 3 is given up first
    expected = [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]]
    assert kept(counts, order).int().tolist() == expected
    assert kept(torch.tensor([1, 1]), torch.tensor([[0, 1, 2], [2, 1, 0]])).int().tolist() == [
        [0, 0, 1],
        [1, 0, 0],
    ]
    first = kept(torch.tensor([2]), torch.arange(4).flip(0))
    assert first.int().tolist() == [[1, 1, 0, 0]]


def test_the_block_that_is_least_missed_goes_first(images: Images) -> None:
    torch.manual_seed(0)
    chain = Chain(Normalized(ResNet(2, stem_stride=2), [120.0] * 3, [60.0] * 3).eval())
    with torch.no_grad():  # a block that changes nothing, and labels that the whole network gives
        chain.units[3].bn2.weight.zero_()  # type: ignore[union-attr]
        labels = chain(images.x.float()).argmax(1)
        chain.model.model[-1].weight.mul_(20)
    own = Images("some", images.x, labels, images.classes, "f")
    order = least_missed(chain, own)
    assert sorted(order) == list(range(6))
    losses = [
        F.cross_entropy(chain.follow(chain.stem(own.x.float()), without(6, [k])), labels).item()
        for k in range(6)
    ]
    assert order[0] == losses.index(min(losses))


def test_multiply_adds_are_those_that_torch_counts_when_blocks_are_skipped(chain: Chain) -> None:
    shape = (3, 16, 16)
    found = spent(chain, EVERY, shape)
    assert found[-1] == multiply_adds(chain.model, shape)[""]

    class Skipping(nn.Module):
        def __init__(self, policy: Tensor) -> None:
            super().__init__()
            self.chain, self.policy = chain, policy

        def forward(self, x: Tensor) -> Tensor:
            return self.chain(x, self.policy[None])  # type: ignore[no-any-return]

    for policy, cost in zip(EVERY, found, strict=True):
        assert cost == multiply_adds(Skipping(policy), shape)[""]


def test_times_are_medians_of_calls_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = iter([0, 1, 1, 3, 3, 8, 8, 10, 10, 12, 12, 13]), []
    monkeypatch.setattr(blockdrop.time, "perf_counter", lambda: next(clock))
    found = seconds(
        {"a": lambda x: order.append("a"), "b": lambda x: order.append("b")}, [torch.zeros(1)] * 3
    )
    assert order == ["a", "b"] * 3
    assert found == {"a": 2, "b": 2}  # of 1, 5, 2 and of 2, 2, 1

"""Lesions, permutations and paths against plain forward passes, hand counts, SciPy and the whole gradient."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.adaptive.chain import (
    Chain,
    accuracies,
    answered,
    bypass,
    changes_shape,
    exchangeable,
    kendall_tau,
    shuffled,
    without,
)
from labkit.adaptive.paths import along_path, contributions, gradient_sizes, paths_of_length
from labkit.adaptive.recalibration import recalibrated
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.models.convnet import AssignmentNet
from labkit.models.normalized import Normalized
from labkit.models.resnet import BasicBlock, PaddedResNet, ResNet
from labkit.models.resnet34 import ResNet34
from labkit.models.vgg import VGG, ConvLayer


def lively(model: nn.Module) -> Normalized:
    """Return `model` behind a normalisation, in eval mode, with statistics that do something."""
    draw = Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=draw))
            module.running_var.copy_(1 + torch.rand(module.num_features, generator=draw))
    return Normalized(model, [120.0] * 3, [60.0] * 3).eval()


@pytest.fixture
def images() -> Images:
    x = torch.randint(0, 256, (30, 3, 16, 16), generator=Generator().manual_seed(1), dtype=torch.uint8)
    return Images("some", x, torch.arange(30) % 10, tuple("0123456789"), "f")


@pytest.fixture
def chain() -> Chain:
    torch.manual_seed(0)
    return Chain(lively(ResNet(2)))


@pytest.fixture
def plain() -> Chain:
    torch.manual_seed(0)
    return Chain(lively(VGG(8, (1, 2, 2))))


@torch.no_grad()
def test_with_all_units_a_chain_is_its_network(chain: Chain, plain: Chain, images: Images) -> None:
    x = images.x.float()
    for whole in (chain, plain):
        assert torch.equal(whole(x), whole.model(x))
        assert torch.equal(whole.follow(whole.stem(x), range(len(whole))), whole.model(x))


@torch.no_grad()
def test_with_no_unit_it_is_stem_shortcuts_and_classifier(chain: Chain, images: Images) -> None:
    x = images.x.float()
    layers = list(chain.model.model.children())
    y = F.relu(layers[1](layers[0]((x - 120) / 60)))
    for block in layers[3:9]:
        y = block.shortcut(y).clamp_min(0)
    expected = layers[-1](y.mean((2, 3)))
    assert torch.allclose(chain(x, torch.zeros(30, 6, dtype=torch.bool)), expected, atol=1e-5)
    assert torch.allclose(chain.follow(chain.stem(x), [None] * 6), expected, atol=1e-5)


@torch.no_grad()
def test_policies_of_a_batch_are_image_by_image_skipping(chain: Chain, images: Images) -> None:
    keep = torch.rand(30, 6, generator=Generator().manual_seed(2)) < 0.5
    ran: list[int] = []
    hooks = [
        unit.register_forward_hook(lambda _m, inputs, _y: ran.append(len(inputs[0]))) for unit in chain.units
    ]
    together = chain(images.x.float(), keep)
    for hook in hooks:
        hook.remove()
    assert sum(ran) == keep.sum(), "who is left out is not computed"
    for x, policy, found in zip(images.x, keep, together, strict=True):
        y = chain.stem(x[None].float())
        for unit, on in zip(chain.units, policy, strict=True):
            y = unit(y) if on else bypass(unit, y)
        assert torch.allclose(chain.head(y)[0], found, atol=1e-5)


def test_gradients_of_a_batch_are_those_of_its_images(chain: Chain, images: Images) -> None:
    keep = torch.rand(30, 6, generator=Generator().manual_seed(2)) < 0.5
    weight = chain.units[2].conv1.weight  # type: ignore[union-attr]
    [together] = torch.autograd.grad(chain(images.x.float(), keep).square().sum(), weight)
    alone = torch.zeros_like(weight)
    for x, policy in zip(images.x, keep, strict=True):
        y = chain(x[None].float(), policy[None]).square().sum()
        [part] = torch.autograd.grad(y, weight, allow_unused=True)
        alone += 0 if part is None else part
    assert torch.allclose(together, alone, rtol=1e-3, atol=1e-3)


def test_a_plain_layer_that_is_left_out_leaves_its_pooling_and_zero_channels(plain: Chain) -> None:
    x = torch.rand(2, 8, 4, 4)
    first = plain.units[1]
    assert isinstance(first, ConvLayer)
    assert [changes_shape(unit) for unit in plain.units] == [True, True, False, True, False]
    assert torch.equal(bypass(first, x), torch.cat([x, torch.zeros_like(x)], 1))
    pooled = bypass(plain.units[2], torch.cat([x, x], 1))
    assert torch.equal(pooled[:, :8, 1, 0], x[:, :, 2:, :2].amax((2, 3)))


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(LabkitError, match="no chain"):
        Chain(Normalized(AssignmentNet(), [0.0] * 3, [1.0] * 3))


def test_programs_are_answered_as_one_by_one(chain: Chain, images: Images) -> None:
    programs = [range(6), without(6, [2]), without(6, [0, 5]), [1, 0, 2, 3, 4, 5], [None] * 6]
    together = answered(chain, images, programs, size=7)
    assert together.shape == (5, 30, 10)
    with torch.no_grad():
        for program, found in zip(programs, together, strict=True):
            alone = chain.follow(chain.stem(images.x.float()), program)
            assert torch.allclose(found, alone, atol=1e-4)
    right = (together.argmax(2) == images.y).double().mean(1)
    assert accuracies(chain, images, programs) == pytest.approx(right.tolist())
    assert not torch.allclose(together[0], together[3], atol=1e-3), "an exchange must matter"


def test_only_units_of_the_same_shapes_change_places() -> None:
    deep = Chain(Normalized(PaddedResNet(3), [0.0] * 3, [1.0] * 3))
    assert exchangeable(deep) == [[0, 1, 2], [4, 5], [7, 8]]
    assert [k for k, unit in enumerate(deep.units) if changes_shape(unit)] == [3, 6]
    draw, seen = Generator().manual_seed(0), set()
    for _ in range(200):
        order = shuffled(9, exchangeable(deep), 1, draw)
        moved = [k for k in range(9) if order[k] != k]
        assert len(moved) == 2
        seen.add(tuple(moved))
    assert seen == {(0, 1), (0, 2), (1, 2), (4, 5), (7, 8)}
    assert shuffled(9, exchangeable(deep), 0, draw) == list(range(9))
    assert shuffled(3, [], 5, draw) == [0, 1, 2], "where nothing can change places, nothing does"


def test_kendalls_tau_is_that_of_scipy() -> None:
    assert kendall_tau([0, 1, 2, 3]) == 1
    assert kendall_tau([3, 2, 1, 0]) == -1
    for seed in range(5):
        order = torch.randperm(27, generator=Generator().manual_seed(seed)).tolist()
        assert kendall_tau(order) == pytest.approx(stats.kendalltau(range(27), order).statistic)


def test_paths_are_counted_as_by_hand() -> None:
    assert paths_of_length(3) == [1, 3, 3, 1]  # of eight
    assert paths_of_length(54)[27] == 1946939425648112
    assert sum(paths_of_length(27)) == 2**27


def test_gradients_along_all_paths_add_up_to_the_whole(images: Images) -> None:
    torch.manual_seed(0)
    three = Chain(lively(ResNet(1))).double()
    x, y = images.x[:6].double(), images.y[:6]
    start = three.stem(x).detach().requires_grad_()
    loss = F.cross_entropy(
        three.head(three.run(start, torch.ones(6, 3, dtype=torch.bool))), y, reduction="sum"
    )
    [whole] = torch.autograd.grad(loss, start)
    paths = [set(some) for length in range(4) for some in combinations(range(3), length)]
    along = {tuple(path): along_path(three, x, y, path) for path in paths}
    assert len(along) == 8
    assert torch.allclose(torch.stack(list(along.values())).sum(0), whole, atol=1e-12)
    assert all(not torch.allclose(one, whole) for one in along.values())
    # along the shortest, the chain rule by hand
    [state, middle] = [start.detach().requires_grad_(), None]
    with torch.no_grad():
        states = [state]
        for block in three.units:
            states.append(block(states[-1]))
    middle = states[-1].detach().requires_grad_()
    [flow] = torch.autograd.grad(F.cross_entropy(three.head(middle), y, reduction="sum"), middle)
    for block, value, before in zip(three.units[::-1], states[:0:-1], states[-2::-1], strict=True):
        assert isinstance(block, BasicBlock)
        here = before.detach().requires_grad_()
        [flow] = torch.autograd.grad(block.shortcut(here), here, flow * (value > 0))
    assert torch.allclose(flow, along[()], atol=1e-12)


def test_sizes_are_norms_along_paths_of_that_length(images: Images) -> None:
    torch.manual_seed(0)
    three = Chain(lively(ResNet(1)))
    x, y = images.x[:5].float(), images.y[:5]
    draw = Generator().manual_seed(0)
    everything = along_path(three, x, y, {0, 1, 2}).flatten(1).norm(dim=1).mean().item()
    assert gradient_sizes(three, x, y, 3, 2, draw) == pytest.approx([everything] * 2)
    single = {along_path(three, x, y, {k}).flatten(1).norm(dim=1).mean().item() for k in range(3)}
    for size in gradient_sizes(three, x, y, 1, 5, draw):
        assert any(size == pytest.approx(one, rel=1e-5) for one in single)


def test_a_block_contributes_what_its_branch_is_beside_its_skip(chain: Chain, images: Images) -> None:
    found = contributions(chain, images)
    fourth = chain.units[3]
    assert isinstance(fourth, BasicBlock)
    seen: list[Tensor] = []
    hooks = [m.register_forward_hook(lambda _m, _x, y: seen.append(y)) for m in (fourth.bn2, fourth.shortcut)]
    with torch.no_grad():
        chain.model(images.x.float())
    for hook in hooks:
        hook.remove()
    ratios = [(a.norm() / b.norm()).item() for a, b in zip(*seen, strict=True)]
    assert found[3] == pytest.approx(sum(ratios) / 30, rel=1e-4)
    assert len(found) == 6


def test_recalibrated_statistics_are_those_of_images_that_run_a_unit(chain: Chain, images: Images) -> None:
    keep = torch.ones(30, 6, dtype=torch.bool)
    keep[:, 1] = keep[:10, 2] = False
    new = recalibrated(chain, images, keep, size=30)
    fourth = new.units[2]
    old = chain.units[2]
    assert isinstance(fourth, BasicBlock)
    assert isinstance(old, BasicBlock)
    with torch.no_grad():
        chain.train()
        state = chain.stem(images.x.float())
        state = bypass(chain.units[1], chain.units[0](state))
        chain.eval()
        conv: Tensor = old.conv1(state[10:])  # only images for which it runs
    assert fourth.bn1.running_mean is not None
    assert fourth.bn1.running_var is not None
    assert torch.allclose(fourth.bn1.running_mean, conv.mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(fourth.bn1.running_var, conv.var((0, 2, 3)), atol=1e-4)
    assert torch.equal(new.units[1].bn1.running_mean, chain.units[1].bn1.running_mean)  # type: ignore
    assert torch.equal(fourth.conv1.weight, old.conv1.weight)
    assert fourth.bn1.momentum == old.bn1.momentum
    assert not new.training


def test_resnet34_has_sixteen_blocks_of_which_three_change_the_shape() -> None:
    chain = Chain(Normalized(ResNet34(width=4), [0.0] * 3, [1.0] * 3))
    assert [k for k, unit in enumerate(chain.units) if changes_shape(unit)] == [3, 7, 13]
    assert len(chain) == 16
    whole = ResNet34()
    assert sum(isinstance(m, nn.Conv2d) for m in whole.modules()) == 33 + 3
    assert sum(p.numel() for p in whole.parameters()) == 21_282_122  # of ImageNet's, other stem and head


def test_vgg_as_it_stands_is_vgg16_with_one_linear_layer() -> None:
    whole = VGG()
    layers = [unit for unit in whole if isinstance(unit, ConvLayer)]
    assert [unit.conv.out_channels for unit in layers] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert sum(m.weight.numel() for m in layers_of(whole)) == 14_710_464  # of the thirteen convolutions
    assert whole(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def layers_of(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]

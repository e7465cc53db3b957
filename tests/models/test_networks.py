"""Published networks: counted by closed forms, and each thing that is special against a case by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError
from labkit.models.apot import ApotConv2d, ApotResNet, eight_bits, levels, nearest
from labkit.models.densenet import Bottleneck, DenseNet
from labkit.models.outlier_exposure import OutlierExposureNet, SigmoidGELU
from labkit.models.resnet import BasicBlock, PaddedShortcut, ResNet, cifar_resnet, resnet20
from labkit.models.tiny import ResNet8, SameConv2d
from labkit.models.verification import CnnA, OvalDeep, PlainBlock, ResNet4b


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def padded_resnet(n: int) -> int:
    """3x3 convolutions, scale and shift of each of their channels, the linear layer: shortcuts are free."""
    pairs = [(3, 16), *[(16, 16)] * 2 * n, (16, 32), *[(32, 32)] * (2 * n - 1)]
    pairs += [(32, 64), *[(64, 64)] * (2 * n - 1)]
    return sum(9 * inputs * outputs + 2 * outputs for inputs, outputs in pairs) + 64 * 10 + 10


def densenet(n: int, k: int) -> int:
    total, width = 3 * 2 * k * 9, 2 * k
    for block in range(3):
        for _ in range(n):
            total += (2 * width + width * 4 * k) + (2 * 4 * k + 4 * k * k * 9)
            width += k
        if block < 2:
            total += 2 * width + width * (width // 2)
            width //= 2
    return total + 2 * width + width * 10 + 10


def wide(channels: int, size: int) -> int:
    convolutions = channels * 16 * 16 + 16 + 16 * 32 * 16 + 32
    return convolutions + 32 * (size // 4) ** 2 * 100 + 100 + 100 * 10 + 10


DEEP = 3 * 8 * 16 + 2 * 8 * 8 * 9 + 8 * 8 * 16 + 4 * 8 + 512 * 100 + 100 + 1_000 + 10
RESNET4B = (
    (3 * 16 * 9 + 16)
    + (16 * 32 * 9 + 7 * 32 * 32 * 9 + 8 * 32)  # eight 3x3 convolutions in four blocks
    + (16 * 32 + 32 * 32 + 2 * 32)  # two 1x1
    + (512 * 100 + 100 + 1_000 + 10)
)
OUTLIER_EXPOSURE = 10 * 25 + 10 + 10 * 20 * 25 + 20 + 320 * 50 + 50 + 50 * 10 + 10
RESNET8 = (  # convolutions with their biases, scale and shift; two 1x1
    (3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) * 9
    + (16 * 32 + 32 * 64)
    + (3 * 16 + 3 * 32 + 3 * 64)
    + 2 * (3 * 16 + 2 * 32 + 2 * 64)
    + (64 * 10 + 10)
)
# Network, its number of parameters as published, the same from its table of layers.
COUNTS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "resnet20": (partial(cifar_resnet, 20), 269_722, padded_resnet(3)),
    "resnet32": (partial(cifar_resnet, 32), 464_154, padded_resnet(5)),
    "resnet44": (partial(cifar_resnet, 44), 658_586, padded_resnet(7)),
    "resnet56": (partial(cifar_resnet, 56), 853_018, padded_resnet(9)),
    "resnet110": (partial(cifar_resnet, 110), 1_727_962, padded_resnet(18)),
    "densenet100": (DenseNet, 769_162, densenet(16, 12)),
    "apot": (partial(ApotResNet, 3, 4), 272_514, count(resnet20()) + 2 * 20),  # two thresholds, 20 layers
    "wide": (CnnA, 214_918, wide(3, 32)),
    "wide, mnist": (partial(CnnA, 1, 28), 166_406, wide(1, 28)),
    "deep": (OvalDeep, 54_902, DEEP),
    "resnet4b": (ResNet4b, 123_734, RESNET4B),
    "outlier exposure": (OutlierExposureNet, 21_840, OUTLIER_EXPOSURE),
    # Published is what Keras counts: the running mean and variance of 240 channels as well.
    "resnet8": (ResNet8, 78_666 - 2 * 240, RESNET8),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_network_has_the_published_number_of_parameters(name: str) -> None:
    build, published, by_hand = COUNTS[name]
    assert count(build()) == published == by_hand


@pytest.mark.parametrize("name", COUNTS)
def test_a_network_returns_ten_logits(name: str) -> None:
    grey = "mnist" in name or name == "outlier exposure"
    x = torch.randn(2, 1, 28, 28) if grey else torch.randn(2, 3, 32, 32)
    assert COUNTS[name][0]().eval()(x).shape == (2, 10)


@pytest.mark.parametrize("depth", [2, 18, 19, 21])
def test_a_depth_that_is_no_resnets_is_refused(depth: int) -> None:
    with pytest.raises(LabkitError, match=f"cannot have {depth} layers; allowed: 6n \\+ 2"):
        cifar_resnet(depth)


def test_other_depths_of_a_densenet() -> None:
    assert count(DenseNet(40, 24, 100)) == densenet(6, 24) + 90 * (DenseNet(40, 24).fc.in_features + 1)
    with pytest.raises(LabkitError, match="cannot have 101 layers; allowed: 6n \\+ 4"):
        DenseNet(101)


def test_option_a_takes_every_second_pixel_and_pads_both_sides() -> None:
    x = torch.arange(1.0, 33).view(1, 2, 4, 4)
    y = PaddedShortcut()(x)
    assert y.tolist() == [
        [
            [[0, 0], [0, 0]],
            [[1, 3], [9, 11]],
            [[17, 19], [25, 27]],
            [[0, 0], [0, 0]],
        ]
    ]


def test_option_a_stands_where_the_stages_meet_and_nowhere_else() -> None:
    shortcuts = [type(m.shortcut).__name__ for m in cifar_resnet(20) if isinstance(m, BasicBlock)]
    stage = ["PaddedShortcut", "Identity", "Identity"]
    assert shortcuts == ["Identity"] * 3 + stage * 2
    assert [type(m.shortcut).__name__ for m in resnet20() if isinstance(m, BasicBlock)][3] == "Sequential"


@pytest.mark.parametrize(
    ("size", "stride", "kernel"), [(32, 2, 3), (32, 2, 1), (7, 2, 3), (7, 1, 3), (6, 2, 5)]
)
def test_same_padding_is_tensorflows(size: int, stride: int, kernel: int) -> None:
    """Window i begins at i * stride - before; before is half of what is missing at the end, rounded down."""
    torch.manual_seed(0)
    layer = SameConv2d(1, 1, kernel, stride).double()
    x = torch.randn(1, 1, size, size + 1, dtype=torch.double)
    y = layer(x)
    expected = torch.empty(-(-size // stride), -(-(size + 1) // stride), dtype=torch.double)
    assert y.shape[2:] == expected.shape

    def value(row: int, column: int) -> Tensor:
        inside = 0 <= row < size and 0 <= column < size + 1
        return x[0, 0, row, column] if inside else torch.zeros((), dtype=torch.double)

    befores = [
        max((outputs - 1) * stride + kernel - length, 0) // 2
        for outputs, length in zip(expected.shape, (size, size + 1), strict=True)
    ]
    assert layer.bias is not None
    for i in range(expected.shape[0]):
        for j in range(expected.shape[1]):
            total = layer.bias[0].clone()
            for a in range(kernel):
                for b in range(kernel):
                    row, column = i * stride - befores[0] + a, j * stride - befores[1] + b
                    total += layer.weight[0, 0, a, b] * value(row, column)
            expected[i, j] = total
    assert torch.allclose(y[0, 0], expected)


def test_same_padding_of_stride_two_is_not_pytorchs() -> None:
    layer = SameConv2d(1, 1, 3, 2)
    x = torch.randn(1, 1, 8, 8)
    shifted = F.conv2d(F.pad(x, (0, 1, 0, 1)), layer.weight, layer.bias, 2)
    assert torch.allclose(layer(x), shifted)
    assert not torch.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias, 2, 1))


def test_the_small_resnet_has_the_epsilon_of_keras() -> None:
    assert {m.eps for m in ResNet8().modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}


def test_the_activation_of_outlier_exposure() -> None:
    x = torch.linspace(-4, 4, 81)
    assert torch.allclose(SigmoidGELU()(x), x / (1 + torch.exp(-1.702 * x)))
    assert (SigmoidGELU()(x) - F.gelu(x)).abs().max() < 0.021  # it stands for GELU
    assert SigmoidGELU()(torch.tensor(1.0)).item() == pytest.approx(0.845796, abs=1e-6)


def test_a_bottleneck_keeps_its_input_and_adds_channels() -> None:
    block = Bottleneck(5, 3).eval()
    x = torch.randn(2, 5, 4, 4)
    assert block(x).shape == (2, 8, 4, 4)
    assert torch.equal(block(x)[:, :5], x)


def test_a_plain_block_without_its_branch_is_its_shortcut() -> None:
    for block, shortcut in ((PlainBlock(4, 4, 1), nn.Identity()), (PlainBlock(4, 6, 2), None)):
        nn.init.zeros_(block.conv2.weight)
        nn.init.zeros_(block.conv2.bias)
        x = torch.randn(2, 4, 8, 8)
        assert torch.equal(block(x), F.relu((shortcut or block.shortcut)(x)))


LEVELS = {
    1: [0, 1],
    2: [0, 1 / 4, 1 / 2, 1],
    3: [0, 1 / 10, 1 / 5, 3 / 10, 2 / 5, 3 / 5, 4 / 5, 1],
}


@pytest.mark.parametrize("bits", LEVELS)
def test_levels_are_sums_of_powers_of_two(bits: int) -> None:
    assert torch.allclose(levels(bits), torch.tensor(LEVELS[bits], dtype=torch.float))


def test_four_bits_give_sixteen_levels() -> None:
    sums = {a + b for a in (0, 32, 8, 2) for b in (0, 16, 4, 1)}  # in 64ths
    assert len(sums) == 16
    assert torch.allclose(levels(4), torch.tensor(sorted(sums)) / 48)
    with pytest.raises(LabkitError, match="on 5 bits; allowed: 1, 2, 3, 4"):
        levels(5)


def test_the_nearest_level_is_taken() -> None:
    torch.manual_seed(0)
    x, allowed = torch.rand(500), levels(4)
    distances = (x[:, None] - allowed).abs()
    assert torch.equal(nearest(x, allowed), allowed[distances.argmin(1)])
    assert nearest(torch.tensor([0.5]), levels(1)).item() == 0


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_an_apot_convolution_by_hand(bits: int) -> None:
    torch.manual_seed(1)
    layer = ApotConv2d(2, 3, 3, 2, 1, bits)
    nn.init.constant_(layer.weight_alpha, 1.5)
    nn.init.constant_(layer.act_alpha, 0.8)
    weight = layer.weight.detach()
    weight = (weight - weight.sum() / 54) / ((weight - weight.mean()).square().sum() / 53).sqrt()
    cut = (weight / 1.5).clamp(-1, 1)
    if bits == 2:
        by_hand = cut.sign() * cut.abs().round() * 1.5
    else:
        near = (cut.abs()[..., None] - levels(bits - 1)).abs().argmin(-1)
        by_hand = cut.sign() * levels(bits - 1)[near] * 1.5
    assert torch.allclose(layer.rounded_weight(), by_hand, atol=1e-6)
    assert len(layer.rounded_weight().unique()) <= 2**bits - 1
    x = torch.rand(4, 2, 6, 6)
    act = (x / 0.8).clamp(max=1)
    act = levels(bits)[(act[..., None] - levels(bits)).abs().argmin(-1)] * 0.8
    assert torch.allclose(layer(x), F.conv2d(act, by_hand, None, 2, 1), atol=1e-5)


def test_the_thresholds_learn() -> None:
    """The gradient of alpha is 1 from x above alpha, level - x / alpha from x below; weights likewise."""
    layer = ApotConv2d(1, 2, 1, 1, 0, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))  # of standard deviation sqrt(2)
        layer.weight_alpha.fill_(1)
        layer.act_alpha.fill_(0.5)
    x = torch.tensor([0.1, 0.3, 0.7]).view(1, 1, 1, 3).requires_grad_()
    y = layer(x)[0, 0]
    y.sum().backward()
    assert torch.allclose(y, torch.tensor([[0.125, 0.25, 0.5]]))
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [1, 1, 0]
    assert layer.act_alpha.grad is not None
    assert layer.act_alpha.grad.item() == pytest.approx((0.25 - 0.2) + (0.5 - 0.6) + 1, abs=1e-6)
    assert layer.weight_alpha.grad is not None
    assert layer.weight_alpha.grad.item() == pytest.approx(0.875 * (1 - 0.5**0.5), abs=1e-6)


def test_eight_bits_are_127ths_of_the_largest() -> None:
    weight = torch.tensor([-2.0, -0.01, 0.0, 0.3, 1.27])
    assert torch.allclose(eight_bits(weight), torch.tensor([-2.0, -0.01, 0.0, 0.3, 1.27]), atol=1e-6)
    assert torch.allclose(eight_bits(weight + 0.004)[1:4], torch.tensor([-0.01, 0.0, 0.3]) * 1.274 / 1.27)


def test_only_the_first_and_last_layer_of_an_apot_network_keep_eight_bits() -> None:
    kinds = [type(m).__name__ for m in ApotResNet(3, 3).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert kinds == ["EightBitConv2d", *["ApotConv2d"] * 20, "EightBitLinear"]
    model: ResNet = ApotResNet(1, 4)
    shapes = [tuple(p.shape) for p in ResNet(1).parameters()]
    assert [tuple(p.shape) for p in model.parameters() if p.ndim] == shapes

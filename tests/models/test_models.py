"""Networks: parameters counted by hand, shapes, and where things are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.convnet import AssignmentNet, ConvNet, Residual, he_init, zero_biases
from labkit.models.normalized import Normalized
from labkit.models.parts import convolutions
from labkit.models.resnet import ResNet, resnet20


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_assignment_network_has_the_parameters_of_its_table() -> None:
    assert count(AssignmentNet()) == 2_432 + 25_632 + 51_264 + 65_600 + 650 + 2 * (32 + 32 + 64 + 64)


def test_twenty_convolutions_are_inserted_and_batch_norm_is_gone() -> None:
    deep = ConvNet(16, 20, batch_norm=False)
    assert len(convolutions(deep)) == 25
    inserted = convolutions(deep)[1:21]
    assert {(c.kernel_size, c.padding, c.stride, c.in_channels) for c in inserted} == {
        ((5, 5), (2, 2), (1, 1), 16)
    }
    assert not [module for module in deep.modules() if isinstance(module, nn.BatchNorm2d)]
    assert count(deep) - count(ConvNet(16, batch_norm=False)) == 20 * (16 * 16 * 25 + 16)


def test_the_own_network_uses_what_the_assignment_allows() -> None:
    allowed = (
        nn.Sequential,
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.ReLU,
        nn.MaxPool2d,
        nn.AdaptiveAvgPool2d,
        nn.Flatten,
    )
    others = [module for module in ConvNet().modules() if not isinstance(module, allowed)]
    assert [type(module) for module in others] == [nn.Linear]


@pytest.mark.parametrize(
    "model", [AssignmentNet(7), ConvNet(8, classes=7), ConvNet(8, 2, residual=True, classes=7)]
)
def test_networks_return_a_logit_a_class(model: nn.Module) -> None:
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 7)


def test_a_residual_block_adds_its_scaled_branch() -> None:
    block = Residual(nn.Linear(4, 4), 0.25)
    x = torch.randn(3, 4)
    assert torch.allclose(block(x), x + 0.25 * (x @ block.branch.weight.T + block.branch.bias))


@pytest.mark.parametrize("variance", [2.0, 0.5])
def test_he_initialisation_has_its_variance_over_fan_in(variance: float) -> None:
    torch.manual_seed(0)
    model = ConvNet(32, 1, batch_norm=False)
    conv = convolutions(he_init(model, variance))[1]
    assert math.isclose(conv.weight.var().item(), variance / (32 * 25), rel_tol=0.05)
    assert conv.bias is not None
    assert not conv.bias.any()


def test_biases_become_zero_and_weights_stay() -> None:
    model = ConvNet(4, 1, batch_norm=False)
    weights = [conv.weight.clone() for conv in convolutions(model)]
    assert zero_biases(model) is model
    for conv, weight in zip(convolutions(model), weights, strict=True):
        assert conv.bias is not None
        assert not conv.bias.any()
        assert torch.equal(conv.weight, weight)


def test_resnet20_has_twenty_layers_and_the_known_size() -> None:
    model = resnet20()
    shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert count(model) == 269_722 + shortcuts  # 269,722: with identity shortcuts, He et al.'s 0.27 M
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len([m for m in weighted if not (isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1))]) == 20


def test_resnet20_costs_forty_one_million_multiply_adds() -> None:
    with FlopCounterMode(display=False) as counter:
        resnet20().eval()(torch.randn(1, 3, 32, 32))
    first = 3 * 16 * 9 * 32 * 32
    stages = 6 * 16 * 16 * 9 * 32**2 + (16 + 5 * 32) * 32 * 9 * 16**2 + (32 + 5 * 64) * 64 * 9 * 8**2
    shortcuts = 16 * 32 * 16**2 + 32 * 64 * 8**2
    assert counter.get_total_flops() == 2 * (first + stages + shortcuts + 640)


def test_a_normalized_network_sees_what_the_pipeline_gives() -> None:
    inner = nn.Flatten()
    x = torch.randint(0, 256, (2, 3, 4, 4)).float()
    wanted = torch.stack([(x[:, c] - 10 * c) / (c + 1) for c in range(3)], 1)
    assert torch.allclose(Normalized(inner, [0, 10, 20], [1, 2, 3])(x), wanted.flatten(1))


def test_a_wide_resnet_has_four_times_the_weights_between_its_channels() -> None:
    plain, wide = ResNet(1), ResNet(1, width=32)
    for name, conv in plain.named_modules():
        if isinstance(conv, nn.Conv2d):
            factor = 2 if conv.in_channels == 3 else 4  # the colours do not double
            assert wide.get_submodule(name).weight.numel() == factor * conv.weight.numel()
    assert wide(torch.zeros(2, 3, 32, 32)).shape == (2, 10)

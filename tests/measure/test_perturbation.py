"""Weight perturbations, curvature and quantisation against closed forms and torch's own."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from labkit.compress.quantize import quantize, quantized
from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.measure.landscape import filter_direction, landscape, top_eigenvalue
from labkit.measure.perturbation import (
    gaussian,
    loss_rise,
    recalibrated,
    with_noise,
    worst_nearby,
)
from labkit.measure.predict import accuracy
from labkit.models.parts import layer_weights
from labkit.models.resnet import ResNet
from labkit.randomness import stream


def small() -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network with BatchNorm of 61 parameters in float64, partly trained, and a batch."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
    x, y = torch.randn(30, 4, dtype=torch.float64), torch.arange(30) % 3
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net, x, y


def unchanged(model: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_noise_goes_to_the_weights_of_layers_in_proportion_to_their_spread(model: ResNet) -> None:
    before = copy.deepcopy(model.state_dict())
    noisy = with_noise(model, 0.3, draw=2)
    changed = [name for name, value in noisy.state_dict().items() if not torch.equal(value, before[name])]
    matrices = [name for name, value in before.items() if value.ndim > 1]
    assert changed == matrices
    assert len(matrices) == 10  # the stem, six convolutions, two shortcuts, the output
    for weight, moved in zip(layer_weights(model), layer_weights(noisy), strict=True):
        ratio = ((moved - weight).std() / weight.std()).item()
        assert ratio == pytest.approx(0.3, rel=4 / math.sqrt(2 * weight.numel()))
    assert unchanged(model, before)


def test_the_same_draw_is_the_same_numbers_for_every_model(model: ResNet) -> None:
    other = ResNet(1)  # other weights

    def normals(net: ResNet, draw: int) -> list[Tensor]:
        pairs = zip(layer_weights(net), layer_weights(with_noise(net, 0.5, draw)), strict=True)
        return [(moved - weight) / (0.5 * weight.std(correction=0)) for weight, moved in pairs]

    for one, two, three in zip(normals(model, 7), normals(other, 7), normals(model, 8), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
        assert (one - three).abs().max() > 0.1


def test_tiny_noise_keeps_the_accuracy_and_huge_noise_gives_another_with_each_draw(
    model: ResNet, images: Images
) -> None:
    tiny, huge = (
        [accuracy(with_noise(model, scale, draw), images, [raw]) for draw in range(5)] for scale in (0.0, 2.0)
    )
    assert tiny == [accuracy(model, images, [raw])] * 5
    assert len(set(huge)) > 1


def test_recalibrated_statistics_are_those_of_the_images(model: ResNet, images: Images) -> None:
    model.train()
    before = copy.deepcopy(model.state_dict())
    fresh = recalibrated(model, images, [raw])
    stem = F.conv2d(images.x.float(), model[0].weight, stride=1, padding=1)
    torch.testing.assert_close(fresh[1].running_mean, stem.mean((0, 2, 3)), rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(fresh[1].running_var, stem.var((0, 2, 3)), rtol=1e-3, atol=1e-2)
    assert not fresh.training
    assert fresh[1].momentum == 0.1
    assert unchanged(model, before)
    calibrated = recalibrated(with_noise(model.eval(), 0.3, 0), images, [raw])
    by_hand = calibrated(images.x.float()).argmax(1)
    assert accuracy(calibrated, images, [raw]) == (by_hand == images.y).double().mean().item()


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("norm", [2, math.inf])
def test_the_loss_rise_of_a_linear_classifier_is_the_closed_form(steps: int, norm: float) -> None:
    net = nn.Linear(6, 2, bias=False).double()
    x, y, rho = torch.randn(1, 6, generator=Generator().manual_seed(2), dtype=torch.float64), [1], 0.2
    margin = ((net.weight[1] - net.weight[0]) @ x[0]).item()
    # the margin falls fastest with both rows moving along x, in opposite directions
    fall = rho * math.sqrt(2) * x.norm().item() if norm == 2 else 2 * rho * x.abs().sum().item()
    expected = math.log1p(math.exp(-(margin - fall))) - math.log1p(math.exp(-margin))
    before = copy.deepcopy(net.state_dict())
    rise = loss_rise(net, x, torch.tensor(y), rho, steps=steps, norm=norm)
    assert rise == pytest.approx(expected, rel=1e-9)
    assert unchanged(net, before)


def test_the_loss_rises_more_in_a_larger_ball_and_more_than_at_random_points_of_it() -> None:
    net, x, y = small()
    rises = [loss_rise(net, x, y, rho) for rho in (0.0, 0.05, 0.2, 0.5)]
    assert rises[0] == 0
    assert rises == sorted(rises)
    assert rises[1] > 0
    assert loss_rise(net.eval(), x, y, 0.5) == rises[-1]  # whatever the mode the network is in
    here = F.cross_entropy(net(x), y).item()
    parameters = dict(net.named_parameters())
    for draw in range(20):
        generator = stream(0, draw)
        noise = {
            name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in parameters.items()
        }
        length = torch.cat([e.flatten() for e in noise.values()]).norm()
        moved = {name: p + 0.5 * noise[name] / length for name, p in parameters.items()}
        assert F.cross_entropy(functional_call(net, moved, x), y).item() - here < rises[-1]


@pytest.mark.parametrize("norm", [2, math.inf])
def test_the_worst_weights_nearby_lie_in_the_ball_and_their_loss_has_risen_so_far(norm: float) -> None:
    net, x, y = small()
    before, start = copy.deepcopy(net.state_dict()), [w.detach().clone() for w in layer_weights(net)]
    worst = worst_nearby(net, x, y, 0.1, norm=norm)
    assert unchanged(net, before)
    assert not worst.training
    moved = torch.cat([(v - w).flatten() for w, v in zip(start, layer_weights(worst), strict=True)])
    assert moved.norm(p=norm).item() == pytest.approx(0.1, rel=1e-6)
    rise = F.cross_entropy(worst(x), y) - F.cross_entropy(net.eval()(x), y)
    assert rise.item() == pytest.approx(loss_rise(net, x, y, 0.1, norm=norm), rel=1e-12)
    assert rise.item() > 0


def test_an_adversary_moves_the_tensors_it_was_given_and_no_other() -> None:
    net, x, y = small()
    weights = {"0.weight", "3.weight"}  # what noise and rounding move, too

    def changed(worst: nn.Module) -> set[str]:
        return {name for name, p in worst.named_parameters() if not torch.equal(p, net.get_parameter(name))}

    assert changed(worst_nearby(net, x, y, 0.1)) == weights
    assert changed(worst_nearby(net, x, y, 0.1, moved=lambda model: [model[1].bias])) == {"1.bias"}
    everything = lambda model: list(model.parameters())  # noqa: E731
    assert changed(worst_nearby(net, x, y, 0.1, moved=everything)) == {n for n, _ in net.named_parameters()}
    assert loss_rise(net, x, y, 0.1, moved=everything) > loss_rise(net, x, y, 0.1)


def test_the_top_eigenvalue_is_that_of_the_full_hessian() -> None:
    net, x, y = small()
    net.eval()
    names, shapes = zip(*((name, p.shape) for name, p in net.named_parameters()), strict=True)

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes])
        weights = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return F.cross_entropy(functional_call(net, weights, x), y)

    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))
    largest = eigenvalues[eigenvalues.abs().argmax()].item()
    net.train()
    before = copy.deepcopy(net.state_dict())
    value, change = top_eigenvalue(net, x, y, tolerance=1e-12, iterations=2000)
    assert value == pytest.approx(largest, rel=1e-6)
    assert change <= 1e-12
    assert unchanged(net, before)
    assert net.training


def test_power_iteration_ends_when_it_has_settled_and_says_how_far_it_has() -> None:
    net, x, y = small()
    exact, _ = top_eigenvalue(net, x, y, tolerance=1e-12, iterations=2000)
    rough, change = top_eigenvalue(net, x, y, tolerance=0.05)
    assert change <= 0.05
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.2)
    assert top_eigenvalue(net, x, y, iterations=1)[1] == pytest.approx(1)  # from zero: everything is change
    assert top_eigenvalue(net, x, y, tolerance=0.0, iterations=3)[1] > 0


def test_directions_have_filters_as_long_as_those_of_the_weights(model: ResNet) -> None:
    weights = layer_weights(model)
    for weight, direction in zip(weights, filter_direction(weights, stream(0, 1)), strict=True):
        for one, other in zip(weight, direction, strict=True):
            assert other.norm().item() == pytest.approx(one.norm().item(), rel=1e-5)
        assert abs(F.cosine_similarity(weight.flatten(), direction.flatten(), 0).item()) < 0.5


def test_the_slice_is_the_loss_along_two_directions() -> None:
    net, x, y = small()
    before = copy.deepcopy(net.state_dict())
    losses = landscape(net, x, y, (-0.5, 0.0, 1.0), seed=3)
    assert unchanged(net, before)
    net.eval()
    names = ("0.weight", "3.weight")
    weights = [net.get_parameter(name).detach() for name in names]
    first, second = (filter_direction(weights, stream(3, number)) for number in (1, 2))
    for i, a in enumerate((-0.5, 0.0, 1.0)):
        for j, b in enumerate((-0.5, 0.0, 1.0)):
            moved = [w + a * d + b * e for w, d, e in zip(weights, first, second, strict=True)]
            loss = F.cross_entropy(functional_call(net, dict(zip(names, moved, strict=True)), x), y)
            assert losses[i, j].item() == pytest.approx(loss.item(), rel=1e-9)
    assert losses[0, 2] != losses[2, 0]


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_quantised_weights_are_those_of_torch(bits: int, model: ResNet) -> None:
    most = 2 ** (bits - 1) - 1
    for weight in layer_weights(model):
        step = weight.abs().max().item() / most
        expected = torch.fake_quantize_per_tensor_affine(weight, step, 0, -most, most)
        torch.testing.assert_close(quantize(weight, bits), expected, rtol=1e-5, atol=1e-7)
        assert len(quantize(weight, bits).unique()) <= 2 * most + 1
        assert (quantize(weight, bits) - weight).abs().max() <= step / 2 * (1 + 1e-5)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_quantised_by_channel_are_those_of_torch(bits: int, model: ResNet) -> None:
    most = 2 ** (bits - 1) - 1
    for weight in layer_weights(model):
        steps = weight.detach().abs().flatten(1).amax(1) / most
        zeros = torch.zeros(len(weight), dtype=torch.int32)
        expected = torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -most, most)
        torch.testing.assert_close(quantize(weight, bits, per_channel=True), expected, rtol=1e-5, atol=1e-7)


def test_quantised_by_channel_by_hand() -> None:
    weight = torch.tensor([[-0.9, 0.6, 0.1], [0.05, -0.04, 0.03], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[-0.9, 0.6, 0.0], [0.05, -0.1 / 3, 0.1 / 3], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(quantize(weight, 3, per_channel=True), expected)


def test_quantised_by_hand() -> None:
    weight = torch.tensor([[-0.9, 0.6, 0.1], [0.5, -0.4, 0.0]])
    torch.testing.assert_close(quantize(weight, 3), torch.tensor([[-0.9, 0.6, 0.0], [0.6, -0.3, 0.0]]))
    assert quantize(weight, 2).unique().tolist() == pytest.approx([-0.9, 0.0, 0.9])
    assert quantize(torch.zeros(3), 4).tolist() == [0, 0, 0]
    with pytest.raises(LabkitError, match="to 1 bits; allowed: 2 or more"):
        quantize(weight, 1)


def test_a_quantised_model_is_a_copy_with_all_layers_quantised(model: ResNet) -> None:
    before = copy.deepcopy(model.state_dict())
    coarse = quantized(model, 4)
    assert unchanged(model, before)
    layers = layer_weights(coarse)
    for weight, old in zip(layers, layer_weights(model), strict=True):
        assert torch.equal(weight, quantize(old, 4))
    by_channel = layer_weights(quantized(model, 4, per_channel=True))
    for weight, old in zip(by_channel, layer_weights(model), strict=True):
        assert torch.equal(weight, quantize(old, 4, per_channel=True))
    ids = {id(weight) for weight in layers}
    others = [(name, p) for name, p in coarse.named_parameters() if id(p) not in ids]
    assert others
    assert all(torch.equal(p, before[name]) for name, p in others)


def test_gaussian_has_mean_zero_and_no_noise_at_scale_zero() -> None:
    weight = torch.randn(400, 400, generator=Generator().manual_seed(5)) * 3 + 1
    [noise] = gaussian([weight], 0.1, stream(0, 0))
    assert noise.mean().item() == pytest.approx(0, abs=4 * 0.3 / 400)
    assert noise.std().item() == pytest.approx(0.3, rel=0.01)
    assert gaussian([weight], 0.0, stream(0, 0))[0].abs().max() == 0

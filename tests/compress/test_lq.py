"""Learned quantisers against exhaustive search, Lloyd-Max, gradients by hand and bytes that were written."""

from __future__ import annotations

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.compress.lq.allocation import allocate
from labkit.compress.lq.layers import (
    ActivationQuantizer,
    LQConv2d,
    WeightQuantizer,
    calibrate,
    quantize_network,
    quantized_layers,
    sample,
)
from labkit.compress.lq.linear import best_scale, doubling, to_the_largest
from labkit.compress.lq.optimum import best_of_all, lloyd_max
from labkit.compress.lq.packing import from_bytes, pack, packed_size, to_bytes, unpack
from labkit.compress.lq.planes import plane_conv2d
from labkit.compress.lq.quantizer import (
    codebook,
    decode,
    encode,
    least_squares,
    levels,
    normal_equations,
    qem,
    squared_error,
    start,
)
from labkit.compress.lq.sparse import shrunk_step, soft, sparse, sparse_step
from labkit.compress.lq.watching import BasisMoved
from labkit.errors import LabkitError
from labkit.models.resnet import ResNet
from labkit.training.callbacks import Training


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def started(x: Tensor, bits: int, *, signed: bool = True) -> tuple[Tensor, Tensor]:
    return start(x.square().mean(1).sqrt(), bits, signed=signed), codebook(bits, signed=signed)


def objective(x: Tensor, codes: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    return (x - decode(codes, basis, book)).square().sum(1)


@pytest.mark.parametrize("signed", [True, False])
def test_codes_and_levels_are_those_of_the_paper(signed: bool) -> None:
    book = codebook(2, signed=signed)
    low = -1.0 if signed else 0.0
    assert book.tolist() == [[low, low], [1, low], [low, 1], [1, 1]]
    found = levels(torch.tensor([[0.5, 1.0]]), book)[0].tolist()
    assert found == ([-1.5, -0.5, 0.5, 1.5] if signed else [0, 0.5, 1, 1.5])


def test_encode_finds_the_nearest_level_whatever_the_order_of_the_basis() -> None:
    book = codebook(3, signed=True)
    basis = torch.tensor([[1.1, -0.4, 0.3], [0.2, 0.2, 0.0]])  # unsorted, negative, equal, zero
    x = gaussian(2, 500)
    distance = (x.unsqueeze(2) - levels(basis, book).unsqueeze(1)).abs()
    got = (x - decode(encode(x, basis, book), basis, book)).abs()
    assert torch.allclose(got, distance.amin(2), atol=1e-6)


def test_normal_equations_are_those_of_the_matrix_of_codes() -> None:
    book, x = codebook(3, signed=True), gaussian(2, 40)
    codes = torch.randint(8, (2, 40), generator=Generator().manual_seed(1))
    squares, products = normal_equations(x, codes, book)
    for group in range(2):
        b = book[codes[group]].double()
        assert torch.allclose(squares[group], b.T @ b)
        assert torch.allclose(products[group], b.T @ x[group].double())


def test_least_squares_is_torchs() -> None:
    book, x = codebook(2, signed=True), gaussian(1, 50)
    codes = torch.randint(4, (1, 50), generator=Generator().manual_seed(1))
    expected = torch.linalg.lstsq(book[codes[0]], x.T).solution.T
    assert torch.allclose(least_squares(x, codes, torch.zeros(1, 2), book), expected, atol=1e-5)


def test_one_bit_has_the_mean_magnitude() -> None:
    x = gaussian(3, 100)
    basis, book = started(x, 1)
    assert torch.allclose(qem(x, basis, book, 1), x.abs().mean(1, keepdim=True), atol=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("signed", [True, False])
def test_no_half_step_raises_the_error(bits: int, signed: bool) -> None:
    x = gaussian(5, 300) if signed else gaussian(5, 300).relu()
    basis, book = started(x, bits, signed=signed)
    last = torch.full((5,), torch.inf)
    for _ in range(10):
        codes = encode(x, basis, book)
        after_b = objective(x, codes, basis, book)
        fitted = least_squares(x, codes, basis, book)
        after_v = objective(x, codes, fitted, book)
        between = objective(x, codes, 0.9 * basis + 0.1 * fitted, book)
        assert (after_b <= last + 1e-3).all()
        assert (after_v <= between + 1e-3).all()  # the moving average lies between the two
        assert (between <= after_b + 1e-3).all()
        basis, last = fitted, after_v


@pytest.mark.parametrize("seed", range(6))
def test_qem_finds_what_an_exhaustive_search_finds(seed: int) -> None:
    """Over all codes of eight values on two bits, with the best basis for each: 65,536 least squares."""
    x, book = gaussian(8, seed=seed), codebook(2, signed=True)
    best = best_of_all(x, book)
    many = x.expand(40, -1)
    bases = gaussian(40, 2, seed=seed + 100).abs() * x.square().mean().sqrt()
    found = squared_error(many, qem(many, bases, book, 50), book).min().item()
    assert found >= best - 1e-6  # nothing is better than the best
    assert found == pytest.approx(best, abs=1e-5)  # and one of the starts finds it


def test_the_search_finds_what_is_there() -> None:
    book = codebook(2, signed=True)
    exact = torch.tensor([-1.7, -0.3, 0.3, 1.7, 0.3])  # the levels of the basis (0.7, 1)
    assert best_of_all(exact, book) == pytest.approx(0, abs=1e-12)
    # one bit: by hand, mean x^2 - (mean |x|)^2
    assert best_of_all(torch.tensor([1.0, -3.0]), codebook(1, signed=True)) == pytest.approx(1.0)
    with pytest.raises(LabkitError, match="too many"):
        best_of_all(torch.ones(20), book)


def test_lloyd_max_is_k_means() -> None:
    x = gaussian(400)
    peer = KMeans(4, n_init=20, random_state=0).fit(x.unsqueeze(1))
    found = lloyd_max(x, 4)
    error = (x.unsqueeze(1) - found).square().amin(1).mean().item()
    assert error == pytest.approx(peer.inertia_ / 400, rel=0.02)
    assert lloyd_max(torch.zeros(10), 4).isfinite().all()


def best_linear(x: Tensor, book: Tensor) -> Tensor:
    """Return the linear basis of least squared error, (G, K), among 200 steps up to the largest value."""
    steps = doubling(book.shape[1])
    largest = x.abs().amax(1, keepdim=True) / (1 if len(steps) == 1 else steps.sum())
    found = [largest * k / 200 * steps for k in range(1, 201)]
    best = torch.stack([squared_error(x, basis, book) for basis in found]).argmin(0)
    return torch.stack(found)[best, torch.arange(len(x))]


@pytest.mark.parametrize(
    ("bits", "basis", "error", "optimum", "linear"),
    [
        (1, (0.798,), 0.363, 0.3634, 0.363),
        (2, (0.529, 0.982), 0.1177, 0.1175, 0.119),
        (3, (0.301, 0.608, 1.159), 0.0369, 0.03454, 0.0375),
    ],
)
def test_gaussian_values_are_those_of_textbooks(
    bits: int, basis: tuple[float, ...], error: float, optimum: float, linear: float
) -> None:
    """Against the optima of Max (1960) and our own Lloyd-Max, which has no basis to obey."""
    x = torch.special.ndtri((torch.arange(20_000) + 0.5) / 20_000).unsqueeze(0)  # a Gaussian without luck
    first, book = started(x, bits)
    found = qem(x, first, book, 200)
    got = squared_error(x, found, book).item()
    free = (x[0].unsqueeze(1) - lloyd_max(x[0], 2**bits)).square().amin(1).mean().item()
    assert torch.allclose(found[0], torch.tensor(basis), rtol=0.01)
    assert got == pytest.approx(error, rel=0.01)
    assert free == pytest.approx(optimum, rel=0.01)
    uniform = squared_error(x, best_linear(x, book), book).item()
    assert uniform == pytest.approx(linear, rel=0.01)
    assert free <= got + 1e-5 <= uniform + 1e-4


def test_two_bits_of_a_rectified_gaussian() -> None:
    x = torch.special.ndtri((torch.arange(20_000) + 0.5) / 20_000).relu().unsqueeze(0)
    basis = qem(x, start(torch.ones(1), 2, signed=False), codebook(2, signed=False), 200)
    assert torch.allclose(basis[0], torch.tensor([0.653, 1.301]), rtol=0.01)


def test_linear_bases() -> None:
    x = gaussian(4, 600)
    first, book = started(x, 3)
    codes = encode(x, first, book)
    largest = to_the_largest(x, codes, first, book)
    assert torch.allclose(levels(largest, book).amax(1), x.abs().amax(1))
    assert torch.allclose(largest / largest[:, :1], doubling(3).expand(4, -1))
    fitted = best_scale(x, codes, first, book)
    for factor in (0.99, 1.01):  # no other step is better for these codes
        assert (objective(x, codes, fitted, book) < objective(x, codes, factor * fitted, book)).all()
    settled = qem(x, first, book, 100, best_scale)
    assert torch.allclose(settled / settled[:, :1], doubling(3).expand(4, -1))
    assert best_scale(0 * x, codes, 0 * first, book).isfinite().all()
    tried = squared_error(x, best_linear(x, book), book)
    assert torch.allclose(squared_error(x, settled, book), tried, rtol=0.03)
    assert (squared_error(x, qem(x, first, book, 100), book) <= tried * 1.01).all()


@pytest.mark.parametrize("value", [0.0, 0.3])
@pytest.mark.parametrize("signed", [True, False])
def test_dead_and_equal_values_give_no_nan(value: float, signed: bool) -> None:
    x = torch.full((2, 30), value)
    basis, book = started(x, 2, signed=signed)
    found = qem(x, basis, book, 20)
    assert found.isfinite().all()
    assert squared_error(x, found, book).max() < 0.01
    quantizer = ActivationQuantizer(2).train()
    for _ in range(20):
        quantizer(torch.full((2, 3, 4, 4), value))
    assert quantizer.basis.isfinite().all()


def test_the_basis_runs_along_and_stands_still_in_eval_mode() -> None:
    weight = gaussian(3, 2, 3, 3)
    quantizer = WeightQuantizer(weight, 2)
    moved = 1.7 * weight
    before = quantizer.basis.clone()
    expected = before.clone()
    quantizer.eval()(moved)
    assert torch.equal(quantizer.basis, before)
    x = moved.flatten(1)
    fitted = least_squares(x, encode(x, before, quantizer.book), before, quantizer.book)
    got = quantizer.train()(moved)
    assert torch.allclose(
        got.flatten(1), decode(encode(x, expected, quantizer.book), expected, quantizer.book)
    )
    assert torch.allclose(quantizer.basis, 0.9 * before + 0.1 * fitted)


def test_activations_follow_what_they_see() -> None:
    quantizer = ActivationQuantizer(2).train()
    x = gaussian(8, 4, 16, 16).relu() * 5
    for _ in range(150):
        quantizer(x)
    assert torch.allclose(quantizer.basis[0], 5 * torch.tensor([0.653, 1.301]), rtol=0.03)
    assert sample(torch.rand(100)).shape == (1, 100)
    assert 2**15 < sample(torch.rand(16, 8, 32, 32)).shape[1] <= 2**16


def test_weights_pass_the_gradient_straight() -> None:
    weight = gaussian(2, 6).requires_grad_()
    factor = gaussian(2, 6, seed=1)
    (WeightQuantizer(weight, 1)(weight) * factor).sum().backward()
    assert torch.equal(weight.grad, factor)


def test_activations_pass_the_gradient_up_to_the_largest_level() -> None:
    quantizer = ActivationQuantizer(2).eval()
    quantizer.basis.copy_(torch.tensor([[1.0, 2.0]]))
    x = torch.tensor([0.2, 0.8, 1.4, 2.6, 2.99, 3.01, 9.0]).requires_grad_()
    got = quantizer(x)
    assert got.tolist() == [0, 1, 1, 3, 3, 3, 3]
    (got * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad.tolist() == [1, 2, 3, 4, 5, 0, 0]
    assert torch.equal(quantizer.codes(x), torch.tensor([0, 1, 1, 3, 3, 3, 3]))


def test_all_but_the_first_convolution_are_quantized(model: ResNet) -> None:
    quantized = quantize_network(model, 2, 3)
    found = quantized_layers(quantized)
    wanted = [module for module in model.modules() if isinstance(module, nn.Conv2d)][1:]
    assert len(found) == len(wanted)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(found, wanted, strict=True))
    assert not isinstance(quantized[0], LQConv2d)
    assert not quantized_layers(model)  # a copy was changed
    for layer in found:
        values = layer.weights(layer.weight)
        assert max(len(kernel.unique()) for kernel in values.flatten(1)) <= 4
    mixed = quantized_layers(quantize_network(model, [1 + k % 3 for k in range(len(wanted))]))
    assert [layer.weights.basis.shape[1] for layer in mixed[:4]] == [1, 2, 3, 1]
    with pytest.raises(LabkitError, match="bits for 2 layers"):
        quantize_network(model, [1, 2])
    with pytest.raises(LabkitError, match="1 to 8"):
        quantize_network(model, 0)


def test_calibration_fits_each_layer_to_what_it_sees(model: ResNet) -> None:
    quantized = quantize_network(model, 2, 2)
    x = gaussian(16, 3, 16, 16)
    seen: dict[LQConv2d, Tensor] = {}
    calibrate(quantized, x)
    for layer in quantized_layers(quantized):
        layer.register_forward_pre_hook(lambda layer, inputs: seen.update({layer: inputs[0]}))
    with torch.no_grad():
        quantized.eval()(x)
    for layer, inputs in seen.items():
        values = sample(inputs)
        error = squared_error(values, layer.inputs.basis, layer.inputs.book)
        assert error < 0.3 * values.var()
        again = qem(values, layer.inputs.basis, layer.inputs.book, 1)
        assert torch.allclose(again, layer.inputs.basis, rtol=0.05)


def test_soft_threshold_and_the_support_it_chooses() -> None:
    assert soft(torch.tensor([-2.0, -0.5, 0.3, 1.5]), torch.tensor(0.5)).tolist() == [-1.5, 0, 0, 1]
    x = gaussian(4, 2000)
    basis, book = started(x, 3)
    basis = qem(x, basis, book, 50)
    alive = torch.ones(4, 3, dtype=torch.bool)
    basis, alive = sparse(x, basis, book, alive, 0.5, 30)
    # of a Gaussian's (0.30, 0.61, 1.16), the first is below 0.5 * 0.80 and the others, fitted again, are not
    assert alive.sum(1).tolist() == [2, 2, 2, 2]
    assert (basis[~alive] == 0).all()
    two = qem(x, started(x, 2)[0], codebook(2, signed=True), 50)
    assert torch.allclose(basis[alive].view(4, 2), two, rtol=0.05)
    basis, alive = sparse(x, basis, book, alive, 50.0, 30)
    assert alive.sum(1).tolist() == [1, 1, 1, 1]  # the largest always lives
    assert torch.allclose(basis.sum(1), x.abs().mean(1), rtol=1e-3)
    back, still = sparse_step(x, encode(x, basis, book), basis, book, alive, 0.0)
    assert torch.equal(still, alive)  # what is zero stays zero
    assert torch.equal(back == 0, ~alive)


def test_shrinking_without_fitting_again_costs_more() -> None:
    x = gaussian(1, 5000)
    basis, book = started(x, 3)
    shrunk, fitted = basis, basis
    alive = torch.ones(1, 3, dtype=torch.bool)
    for _ in range(30):
        shrunk = shrunk_step(x, encode(x, shrunk, book), shrunk, book, 0.3)
        fitted, alive = sparse_step(x, encode(x, fitted, book), fitted, book, alive, 0.3)
    assert squared_error(x, shrunk, book) > 3 * squared_error(x, fitted, book)


def test_zeros_are_exact_in_training() -> None:
    weight = gaussian(6, 4, 3, 3)
    quantizer = WeightQuantizer(weight, 3, strength=0.55).train()
    for _ in range(40):
        values = quantizer(weight)
    dead = ~quantizer.alive
    assert dead.any()
    assert (quantizer.basis[dead] == 0).all()
    for kernel, living in zip(values.flatten(1), quantizer.alive.sum(1), strict=True):
        assert len(kernel.unique()) <= 2**living


def test_a_sparse_basis_begins_where_it_would_settle() -> None:
    weight = gaussian(6, 40, 3, 3)
    quantizer = WeightQuantizer(weight, 3, strength=0.5).train()
    basis, alive = quantizer.basis.clone(), quantizer.alive.clone()
    assert alive.sum(1).tolist() == [2] * 6
    for _ in range(20):
        quantizer(weight)
    assert torch.equal(quantizer.alive, alive)
    assert torch.allclose(quantizer.basis, basis, rtol=1e-3)


def test_each_filter_has_the_bits_it_is_given() -> None:
    weight, bits = gaussian(5, 8, 3, 3), [2, 1, 3, 1, 2]
    quantizer = WeightQuantizer(weight, bits).train()
    for row, many in enumerate(bits):  # as if it were alone
        alone = WeightQuantizer(weight[row : row + 1], many).basis
        assert torch.equal(quantizer.basis[row, :many], alone[0])
        assert (quantizer.basis[row, many:] == 0).all()
    for _ in range(10):
        values = quantizer(1.3 * weight)
    assert quantizer.alive.sum(1).tolist() == bits
    assert (quantizer.basis[~quantizer.alive] == 0).all()
    assert [len(kernel.unique()) for kernel in values.flatten(1)] == [2**many for many in bits]
    alone = WeightQuantizer(weight[:1], 2).train()
    for _ in range(10):
        alone(1.3 * weight[:1])
    assert torch.allclose(quantizer.basis[0, :2], alone.basis[0], rtol=1e-4)


def test_codes_come_back_from_bytes() -> None:
    codes = torch.randint(8, (5, 21), generator=Generator().manual_seed(0))
    alive = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]]).bool()
    packed = pack(codes, alive)
    assert packed.dtype == torch.uint8
    assert len(packed) == -(-9 * 21 // 8)  # nine living entries
    mask = (alive << torch.arange(3)).sum(1, keepdim=True)
    assert torch.equal(unpack(packed, alive, 21), codes & mask)
    with pytest.raises(LabkitError, match="not the"):
        unpack(packed[:-1], alive, 21)


@pytest.mark.parametrize(("activation_bits", "strength"), [(None, 0.0), (2, 0.0), (None, 0.5)])
def test_a_network_comes_back_from_a_file(
    model: ResNet, tmp_path, activation_bits: int | None, strength: float
) -> None:
    torch.manual_seed(0)
    quantized = quantize_network(model, 3, activation_bits, strength=strength)
    x = gaussian(4, 3, 16, 16)
    calibrate(quantized, x)
    quantized.train()(x)  # a running basis, and BatchNorm statistics
    path = tmp_path / "net.safetensors"
    path.write_bytes(to_bytes(quantized))
    like = quantize_network(ResNet(1), 3, activation_bits)
    again = from_bytes(path.read_bytes(), like)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), quantized.eval()(x))
    size = packed_size(path.read_bytes(), quantized)
    layers = quantized_layers(quantized)
    assert size.weights == sum(layer.weight.numel() for layer in layers)
    by_hand = sum(int(layer.weights.alive.sum()) * layer.weight[0].numel() for layer in layers)
    assert size.average_bits == pytest.approx(by_hand / size.weights, rel=1e-4)
    assert size.average_bits < 3 if strength else size.average_bits == pytest.approx(3, rel=1e-4)
    living = sum(int(layer.weights.alive.sum()) for layer in layers)
    assert 8 * size.bases == pytest.approx(32 * living, rel=0.11)  # and three bits a filter for which lives
    assert size.file == path.stat().st_size > size.bits + size.bases + size.others
    full = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert size.file < full / 2


def test_wrong_bytes_are_refused(model: ResNet) -> None:
    content = to_bytes(quantize_network(model, 2))
    with pytest.raises(LabkitError, match="no packed network"):
        from_bytes(content[:-1], quantize_network(model, 2))
    with pytest.raises(LabkitError, match="another network"):
        from_bytes(content, quantize_network(model, 3))
    with pytest.raises(LabkitError, match="another network"):
        from_bytes(content, model)


@pytest.mark.parametrize(("stride", "kernel", "padding"), [(1, 3, 1), (2, 3, 1), (2, 1, 0)])
@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(1, 2), (2, 2), (3, 3)])
def test_bit_planes_give_what_floats_give(
    stride: int, kernel: int, padding: int, weight_bits: int, activation_bits: int
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, kernel, stride, padding, bias=False)
    layer = LQConv2d(conv, WeightQuantizer(conv.weight, weight_bits), ActivationQuantizer(activation_bits))
    x = gaussian(3, 5, 8, 8).relu()
    with torch.no_grad():
        expected = layer.eval()(x)
        by_hand = F.conv2d(layer.inputs(x), layer.weights(conv.weight), None, stride, padding)
    assert torch.equal(expected, by_hand)
    assert torch.allclose(plane_conv2d(layer, x), expected, atol=1e-5)


def test_bit_planes_of_a_sparse_basis() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, padding=1, bias=False)
    quantizer = WeightQuantizer(conv.weight, 3, strength=0.5).train()
    for _ in range(30):
        quantizer(conv.weight)
    layer = LQConv2d(conv, quantizer, ActivationQuantizer(2)).eval()
    x = gaussian(2, 4, 6, 6).relu()
    with torch.no_grad():
        assert torch.allclose(plane_conv2d(layer, x), layer(x), atol=1e-5)
    with pytest.raises(LabkitError, match="quantised inputs"):
        plane_conv2d(LQConv2d(conv, quantizer, None), x)


def test_bits_go_where_they_save_most() -> None:
    costs = [{1: 5.0, 2: 1.0, 3: 0.9}, {1: 1.0, 2: 0.9, 3: 0.85}, {1: 8.0, 2: 7.0, 3: 1.0}]
    assert allocate(costs, [10, 10, 10], 1) == [1, 1, 1]
    assert allocate(costs, [10, 10, 10], 2) == [2, 1, 3]  # two bits at once, where one alone brings little
    assert allocate(costs, [10, 10, 10], 3) == [3, 3, 3]
    assert allocate(costs, [1000, 10, 10], 1.1) == [1, 3, 3]  # too large to fit
    with pytest.raises(LabkitError, match="fewer than the fewest"):
        allocate(costs, [1, 1, 1], 0.5)


def test_the_log_of_a_basis(model: ResNet) -> None:
    quantized = quantize_network(model, 2)
    layer = quantized_layers(quantized)[2]
    watch = BasisMoved({"third": layer})
    training = Training({"model": quantized}, 2)
    watch.on_step_end(training)
    layer.weights.basis.mul_(1.1)
    training.step = 1
    watch.on_step_end(training)
    steps, values = training.history.series("moved third")
    assert steps == [0, 1]
    assert values == pytest.approx([0.0, 0.1], abs=1e-5)

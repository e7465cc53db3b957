"""Dynamic convolutions and gates against closed forms, SciPy, torch's counter and sums written by hand."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.adaptive.batch_shaping import BetaCdf, GateLoss, GateSchedule, batch_shaping
from labkit.adaptive.decisions import decisions, overridden, replay
from labkit.adaptive.dynamic_conv import (
    Annealing,
    Attention,
    AttentionWatch,
    DynamicConv2d,
    entropy_and_spread,
    make_dynamic,
)
from labkit.adaptive.gated import (
    Gate,
    GatedBlock,
    Surrogate,
    make_gated,
    only_open,
    sliced,
    spent,
)
from labkit.data.augment import raw
from labkit.data.batches import Batch, Loader
from labkit.data.images import Images
from labkit.measure.flops import multiply_adds
from labkit.measure.predict import logits
from labkit.measure.probe import linear_probe
from labkit.models.normalized import Normalized
from labkit.models.resnet import BasicBlock, ResNet, resnet20
from labkit.training.fit import cross_entropy, fit
from labkit.training.held_out import ValidationAccuracy


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed))


@pytest.fixture
def images() -> Images:
    x = torch.randint(0, 256, (64, 3, 16, 16), generator=Generator().manual_seed(1), dtype=torch.uint8)
    return Images("some", x, torch.arange(64) % 10, tuple("0123456789"), "f")


def sharp(layer: DynamicConv2d) -> DynamicConv2d:
    """Let the attention of `layer` differ from image to image."""
    nn.init.normal_(layer.attention.excite.weight, std=1.0, generator=Generator().manual_seed(3))
    return layer


@pytest.mark.parametrize("kernels", [1, 2, 4, 5])
@pytest.mark.parametrize(("size", "stride", "bias"), [(3, 1, False), (3, 2, True), (1, 2, False)])
def test_mixing_kernels_is_mixing_outputs(kernels: int, size: int, stride: int, bias: bool) -> None:
    like = nn.Conv2d(8, 6, size, stride, padding=size // 2, bias=bias)
    torch.manual_seed(0)
    layer = sharp(DynamicConv2d(like, kernels))
    x = drawn(7, 8, 9, 9) + 4 * drawn(7, 8, 1, 1, seed=1)  # images of different colours
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    pi = layer.attention(x)
    expected = torch.zeros_like(like(x))
    for k, kernel in enumerate(layer.kernels()):
        bias_k = None if layer.bias is None else layer.bias[k]
        y = F.conv2d(x, kernel, bias_k, stride, size // 2)
        expected = expected + pi[:, k, None, None, None] * y
    assert torch.allclose(layer(x), expected, atol=1e-5)
    assert kernels == 1 or pi.std(0).max() > 0.05, "the attention must differ for the test to tell"


def test_one_kernel_is_an_ordinary_convolution() -> None:
    like = nn.Conv2d(8, 6, 3, 2, padding=1, bias=False)
    layer, x = DynamicConv2d(like, 1), drawn(4, 8, 9, 9)
    with torch.no_grad():
        like.weight.copy_(layer.kernels()[0])
    assert torch.allclose(layer(x), like(x), atol=1e-6)


def test_an_image_gets_its_own_kernel_wherever_it_stands_in_the_batch() -> None:
    torch.manual_seed(0)
    model = ResNet(1, stem_stride=2)
    for layer in make_dynamic(model, 3).values():
        sharp(layer)
    model.eval()
    x, order = drawn(6, 3, 32, 32), torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        assert torch.allclose(model(x)[order], model(x[order]), atol=1e-4)
        assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-4)


def test_every_convolution_is_replaced_and_the_counts_are_those_by_hand() -> None:
    model = resnet20()
    plain = multiply_adds(model, (3, 32, 32))[""]
    assert plain == 40_551_040 + 2 * 131_072  # 40.55 M by the paper's definition, and two 1x1 shortcuts
    layers = make_dynamic(model, 4)
    assert len(layers) == 21
    assert not any(isinstance(module, nn.Conv2d) for module in model.modules())
    counted = multiply_adds(model, (3, 32, 32))
    name = "11.conv2"  # 64 -> 64 channels at 8x8
    by_hand = {"conv": 64 * 64 * 9 * 64, "aggregation": 4 * 64 * 64 * 9, "attention": 64 * 16 + 16 * 4}
    assert counted[name] == sum(by_hand.values())
    assert by_hand["conv"] == 2_359_296
    hands = 0
    for layer in layers.values():
        out, inputs, height, width = layer.shape
        hidden = max(4, inputs // 4)
        hands += 4 * out * inputs * height * width + inputs * hidden + hidden * 4
    assert counted[""] - plain == hands


def test_kernels_start_with_the_variance_of_their_own_fan() -> None:
    torch.manual_seed(0)
    layer = DynamicConv2d(nn.Conv2d(64, 64, 3, padding=1), 4)
    for kernel in layer.kernels():
        assert kernel.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)
    assert not torch.equal(layer.kernels()[0], layer.kernels()[1])
    assert layer.attention.excite.bias.abs().sum() == 0


def test_a_high_temperature_makes_attention_uniform() -> None:
    attention, x = Attention(8, 4), drawn(5, 8, 3, 3)
    nn.init.normal_(attention.excite.weight, std=10.0)
    z = attention.excite(F.relu(attention.squeeze(x.mean((2, 3)))))
    assert torch.allclose(attention(x), z.softmax(1))
    attention.tau.fill_(30.0)
    assert torch.allclose(attention(x), (z / 30).softmax(1))
    assert torch.allclose(attention(x).sum(1), torch.ones(5))


def test_the_temperature_falls_linearly_to_one(images: Images) -> None:
    model = ResNet(1, stem_stride=2)
    layers = make_dynamic(model, 2)
    seen: list[float] = []

    class Look(Annealing):
        def on_gradient(self, training) -> None:
            seen.append(next(iter(self.layers.values())).attention.tau.item())

    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    callbacks = [Look(layers, 30, 4), AttentionWatch(["0", "5.conv2"], images, 3)]
    history = fit(model, Loader(images, 16, [raw], 0), 6, optimizer, callbacks=callbacks, precision="float32")
    assert seen == pytest.approx([30, 22.75, 15.5, 8.25, 1, 1])
    assert history.series("entropy 5.conv2")[0] == [2, 5]
    assert all(0 < value <= 1.000001 for value in history.series("entropy 0")[1])
    assert {name.split()[0] for name in history.names()} == {"loss", "entropy", "spread"}


def test_entropy_and_spread_at_their_ends() -> None:
    uniform, sure = torch.full((6, 3), 1 / 3), torch.eye(3).repeat(2, 1)
    assert [v.item() for v in entropy_and_spread(uniform)] == pytest.approx([1, 0], abs=1e-6)
    entropy, spread = entropy_and_spread(sure)
    assert entropy.item() == 0
    assert spread.item() == pytest.approx((2 / 9) ** 0.5)


def test_decisions_are_read_by_layer_and_can_be_overridden(images: Images) -> None:
    torch.manual_seed(0)
    model = Normalized(ResNet(1, stem_stride=2), (120.0,) * 3, (60.0,) * 3)
    layers = make_dynamic(model, 3)
    found = decisions(model, Attention, images)
    assert found.keys() == layers.keys()
    assert all(pi.shape == (64, 3) for pi in found.values())
    x = images.x[:4].float()
    model.eval()
    stem = layers["model.0"]
    with overridden(model, Attention, lambda name, pi: torch.eye(3)[[1] * len(pi)]):
        chosen = stem(x)
    assert torch.allclose(chosen, F.conv2d(x, stem.kernels()[1], None, 2, 1), atol=1e-3)
    assert not torch.allclose(stem(x), chosen, atol=1e-3), "the hooks must be gone"


def test_an_image_can_be_given_the_decisions_of_another(images: Images) -> None:
    torch.manual_seed(0)
    model = ResNet(1, stem_stride=2)
    for layer in make_dynamic(model, 3).values():
        sharp(layer)
    found, plain = decisions(model, Attention, images), logits(model, images, [raw], 24)
    with overridden(model, Attention, replay(found)):
        assert torch.allclose(logits(model, images, [raw], 24), plain, rtol=1e-3, atol=1e-3)
    other = {name: pi.roll(1, 0) for name, pi in found.items()}
    with overridden(model, Attention, replay(other)):
        again = decisions(model, Attention, images)
    assert all(torch.equal(again[name], other[name]) for name in found)


# Gates


@pytest.fixture
def gated() -> tuple[Normalized, dict[str, GatedBlock]]:
    """A gated network with half of its gates open; its statistics are not those of the start."""
    torch.manual_seed(0)
    model = Normalized(ResNet(1, stem_stride=2), (120.0,) * 3, (60.0,) * 3)
    blocks = make_gated(model)
    for block in blocks.values():
        nn.init.zeros_(block.gate.net[-1].bias)
    for _ in range(5):
        model(torch.rand(16, 3, 32, 32) * 255)
    return model.eval(), blocks


def test_gates_are_on_or_off_and_differ_between_images(gated) -> None:
    model, _ = gated
    images = Images("x", torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8), torch.zeros(50), (), "")
    found = decisions(model, Gate, images)
    assert [gates.shape[1] for gates in found.values()] == [16, 32, 64]
    everything = torch.cat(list(found.values()), 1)
    assert set(everything.unique().tolist()) == {0.0, 1.0}
    assert len(everything.sum(1).unique()) > 1, "the number of open gates must vary"


def test_a_closed_channel_changes_nothing_downstream(gated) -> None:
    _, blocks = gated
    for block in blocks.values():
        channels = block.block.conv1.in_channels
        for x in drawn(4, channels, 16, 16).abs().split(1):
            assert 0 < block.gate(x).sum() < block.gate(x).numel()
            assert torch.allclose(only_open(block, x), block(x), atol=1e-5)


def test_a_network_that_leaves_closed_channels_out_says_the_same(gated) -> None:
    model, blocks = gated
    for x in (torch.rand(4, 3, 32, 32) * 255).split(1):
        whole = model(x)
        with sliced(blocks.values()):
            part = model(x)
        assert torch.allclose(whole, part, atol=1e-4)
    with sliced(blocks.values()), pytest.raises(AssertionError):
        model(torch.rand(2, 3, 32, 32))  # one image at a time
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_a_block_with_all_gates_closed_is_its_shortcut(gated) -> None:
    _, blocks = gated
    block = blocks["model.4"]
    nn.init.constant_(block.gate.net[-1].bias, -100.0)
    x = drawn(1, 16, 8, 8)
    assert torch.allclose(only_open(block, x), block(x), atol=1e-5)


class Sliced(nn.Module):
    """A gated block that runs only what is open."""

    def __init__(self, block: GatedBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return only_open(self.block, x)


def test_multiply_adds_of_open_gates_are_those_that_torch_counts(gated) -> None:
    model, blocks = gated
    images = Images("black", torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1), (), "")
    gates = decisions(model, Gate, images)
    [claimed] = spent(model, blocks, gates, (3, 32, 32)).tolist()
    for name, block in blocks.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, Sliced(block).eval())
    assert claimed == multiply_adds(model, (3, 32, 32))[""]


def test_average_multiply_adds_follow_the_formula(gated) -> None:
    model, blocks = gated
    gates = {"model.3": torch.zeros(2, 16), "model.4": torch.zeros(2, 32), "model.5": torch.zeros(2, 64)}
    gates["model.3"][0, :5] = gates["model.4"][0, :7] = gates["model.5"][1, :9] = 1
    rest = 256 * 27 * 16 + 640 + 64 * 16 * 32 + 16 * 32 * 64  # stem, output layer, shortcuts
    rest += 2 * 16 * 16 + 16 * 16 + 16 * 32 + 32 * 16 + 16 * 64  # the nets of the gates
    first = 5 * 256 * 9 * (16 + 16) + 7 * 64 * 9 * (16 + 32)
    second = 9 * 16 * 9 * (32 + 64)
    assert spent(model, blocks, gates, (3, 32, 32)).tolist() == [rest + first, rest + second]


def test_gates_get_a_gradient_in_both_modes_unless_it_is_cut(gated) -> None:
    _, blocks = gated
    block = blocks["model.3"]
    reached: dict[tuple[bool, Surrogate], float] = {}
    for training in (True, False):
        for surrogate in ("straight-through", "cut", "soft", "unsaturated"):
            block.train(training)
            block.gate.surrogate = surrogate
            block.zero_grad()
            torch.manual_seed(0)
            (block(drawn(8, 16, 8, 8)) * drawn(8, 16, 8, 8, seed=2)).sum().backward()
            gradient = block.gate.net[-1].weight.grad
            reached[training, surrogate] = 0.0 if gradient is None else gradient.abs().sum().item()
    assert all((value > 0) == (surrogate != "cut") for (_, surrogate), value in reached.items())


def test_a_sure_gate_has_a_slope_for_the_unsaturated_gradient_alone() -> None:
    gate, slopes = Gate(4, 3, opening=-30.0).eval(), {}
    for surrogate in ("straight-through", "soft", "unsaturated"):
        gate.surrogate = surrogate
        gate.zero_grad()
        gates = gate(drawn(1, 4, 2, 2))
        gates.sum().backward()
        assert surrogate == "soft" or gates.tolist() == [[0, 0, 0]]
        slopes[surrogate] = gate.net[-1].bias.grad.tolist()
    assert slopes["unsaturated"] == [0.25] * 3
    assert max(slopes["straight-through"] + slopes["soft"]) < 1e-6


def test_gates_begin_as_open_as_told() -> None:
    blocks = make_gated(ResNet(1), 0.0)
    assert [block.gate.net[-1].bias.abs().max().item() for block in blocks.values()] == [0, 0, 0]


def test_gates_begin_open_and_without_noise_they_are_those_of_the_test() -> None:
    torch.manual_seed(0)
    gate, x = Gate(8, 400), torch.rand(100, 8, 4, 4)
    assert gate.train()(x).mean().item() == pytest.approx(torch.tensor(2.0).sigmoid().item(), abs=0.03)
    nn.init.normal_(gate.net[-1].weight)
    gate.noise = 0.0
    quiet = gate(x)
    assert 0.1 < quiet.mean() < 1.0
    assert torch.equal(quiet, (gate.net(x.mean((2, 3))) > 0).float())


def test_noisy_gates_open_with_the_probability_they_state() -> None:
    torch.manual_seed(0)
    gate = Gate(4, 3)
    nn.init.zeros_(gate.net[-1].weight)
    gate.net[-1].bias.data = torch.tensor([-2.0, 0.0, 1.0])
    on = gate.train()(torch.rand(20_000, 4, 2, 2)).mean(0)
    assert torch.allclose(on, torch.sigmoid(torch.tensor([-2.0, 0.0, 1.0])), atol=0.015)
    assert torch.allclose(gate.probability[0], torch.sigmoid(torch.tensor([-2.0, 0.0, 1.0])))


def test_the_gradient_of_a_gate_is_that_of_a_relaxed_bernoulli() -> None:
    gate = Gate(4, 3).eval()
    x = drawn(1, 4, 2, 2)
    gate(x).sum().backward()
    a = gate.net(x.mean((2, 3)))
    y = torch.distributions.RelaxedBernoulli(torch.tensor(2 / 3), logits=a)
    soft = torch.sigmoid(a / y.temperature)
    assert torch.allclose(gate.net[-1].bias.grad, (soft * (1 - soft) / y.temperature)[0], atol=1e-6)


# Batch-shaping


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.4), (0.5, 0.5), (2.0, 3.0)])
def test_the_cdf_and_its_derivative_are_those_of_scipy(a: float, b: float) -> None:
    x = torch.linspace(0.01, 0.99, 50, dtype=torch.float64, requires_grad=True)
    cdf = BetaCdf.apply(x, a, b)
    cdf.sum().backward()
    at = x.detach().numpy()
    assert cdf.detach().numpy() == pytest.approx(stats.beta.cdf(at, a, b), rel=1e-10)
    assert x.grad.numpy() == pytest.approx(stats.beta.pdf(at, a, b), rel=1e-10)


def test_the_gradient_of_batch_shaping_is_that_of_finite_differences() -> None:
    x = torch.rand(12, 3, dtype=torch.float64, generator=Generator().manual_seed(0)) * 0.9 + 0.05
    assert torch.autograd.gradcheck(batch_shaping, x.requires_grad_())


def test_batch_shaping_sorts_over_the_batch_and_follows_its_formula() -> None:
    x = torch.tensor([[0.9, 0.5], [0.2, 0.5], [0.4, 0.5]], dtype=torch.float64)
    cdf = stats.beta(0.6, 0.4).cdf
    first = sum((k / 4 - cdf(v)) ** 2 for k, v in ((1, 0.2), (2, 0.4), (3, 0.9))) / 3
    second = sum((k / 4 - cdf(0.5)) ** 2 for k in (1, 2, 3)) / 3
    assert batch_shaping(x).tolist() == pytest.approx([first, second])


def test_batch_shaping_tells_gates_that_follow_the_distribution_from_others() -> None:
    n, gates = 64, 400
    beta = torch.tensor(stats.beta(0.6, 0.4).rvs((n, gates), random_state=0))
    bernoulli = torch.tensor(stats.bernoulli(0.6).rvs((n, gates), random_state=0)).double()
    value = {
        "beta": batch_shaping(beta).mean().item(),
        "half": batch_shaping(torch.full((n, 1), 0.5)).item(),
        "on": batch_shaping(torch.ones(n, 1)).item(),
        "off": batch_shaping(torch.zeros(n, 1)).item(),
        "hard": batch_shaping(bernoulli).mean().item(),
    }
    expected = {"beta": 0.0026, "half": 0.09, "on": 0.31, "off": 0.33, "hard": 0.09}
    assert value == pytest.approx(expected, rel=0.12)


def test_the_loss_of_gates_is_the_sum_of_its_three_parts(gated, images: Images) -> None:
    model, blocks = gated
    batch = Batch(images.x.float(), images.y, images.y)
    loss = GateLoss(blocks.values())
    plain = cross_entropy(model, batch)
    assert torch.allclose(loss(model, batch), plain)
    loss.gamma, loss.strength = 0.5, 0.01
    p = torch.cat([block.gate.probability for block in blocks.values()], 1)
    assert p.shape == (64, 112)
    expected = plain + 0.5 * batch_shaping(p).sum() + 0.01 * p.sum() / 64
    assert torch.allclose(loss(model, batch), expected)


def test_the_schedule_shapes_first_and_closes_gates_later(gated) -> None:
    loss = GateLoss(gated[1].values())
    schedule = GateSchedule(loss, gamma=0.8, strength=0.02, shaping=4, full=8)

    class Now:
        step = 0

    seen = []
    for Now.step in (0, 2, 4, 6, 8, 20):
        schedule.on_step_start(Now)
        assert len({gate.noise for gate in loss.gates}) == 1
        seen.append((loss.gamma, loss.strength, loss.gates[0].noise))
    gammas, strengths, noises = zip(*seen, strict=True)
    assert gammas == pytest.approx([0.8, 0.4, 0, 0, 0, 0])
    assert strengths == pytest.approx([0, 0, 0, 0.01, 0.02, 0.02])
    assert noises == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0])


def test_a_gate_that_is_sure_of_itself_is_not_called_back() -> None:
    x = torch.tensor([[0.00005], [0.5], [0.99995]], requires_grad=True)
    batch_shaping(x).sum().backward()
    assert x.grad[0] == x.grad[2] == 0
    assert x.grad[1] != 0


def test_the_l0_term_closes_gates(gated, images: Images) -> None:
    model, blocks = gated
    before = torch.cat(list(decisions(model, Gate, images).values()), 1).mean()
    loss = GateLoss(blocks.values())
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    schedule = GateSchedule(loss, gamma=0.0, strength=0.1, shaping=1, full=2)
    fit(model, Loader(images, 32, [raw], 0), 30, optimizer, loss=loss, callbacks=[schedule])
    after = torch.cat(list(decisions(model, Gate, images).values()), 1).mean()
    assert after < 0.5 * before


# Measures


def test_multiply_adds_of_a_layer_and_of_the_whole() -> None:
    block = BasicBlock(16, 32, 2).train()
    counted = multiply_adds(block, (16, 8, 8))
    assert counted["conv1"] == 16 * 9 * 16 * 32
    assert counted["shortcut"] == 16 * 16 * 32
    assert counted[""] == 16 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
    assert block.training, "the mode is put back"


def test_a_linear_probe_finds_what_is_linear_and_not_what_is_shuffled() -> None:
    y = torch.arange(400) % 4
    x = torch.eye(4)[y] + 0.1 * drawn(400, 4)
    assert linear_probe(x, y) == 1.0
    assert linear_probe(x, y, shuffle=0) < 0.45
    assert linear_probe(drawn(400, 4), y) < 0.35


def test_validation_accuracy_is_logged_on_time(images: Images) -> None:
    model = ResNet(1, stem_stride=2)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    callback = ValidationAccuracy(images, [raw], 2)
    history = fit(model, Loader(images, 16, [raw], 0), 5, optimizer, callbacks=[callback])
    steps, values = history.series("validation_accuracy")
    assert steps == [1, 3]
    assert all(0 <= value <= 1 for value in values)
    assert model.training

"""Rounding, packing and exchanging gradients, without a process: workers are threads around a table."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import fmean

import pytest
import torch
from torch import Tensor

from labkit.data.images import Images
from labkit.distributed.gradients.allocation import (
    WIDTHS,
    bits_a_value,
    levels_of,
    noise,
    shared_out,
    with_levels,
)
from labkit.distributed.gradients.bandwidth import step_seconds
from labkit.distributed.gradients.budget import FLOOR, BoundedSGD, WriteRates, probabilities
from labkit.distributed.gradients.packing import pack, unpack, width
from labkit.distributed.gradients.rounding import angle, clipped, rounded, rounding_variance
from labkit.distributed.gradients.schemes import FLOAT, QSGD, Float, Levels, Scheme, TopK, terngrad
from labkit.models.lenet import LeNet5
from labkit.randomness import stream
from labkit.training.checkpoint import Checkpoint
from labkit.training.fit import fit
from labkit.training.recipe import Recipe


class Table:
    """Where workers, as threads, lay down what they send."""

    def __init__(self, size: int) -> None:
        self.size, self.rows, self.barrier = size, [torch.empty(0)] * size, threading.Barrier(size)


class ThreadWire:
    """A wire of one of these workers; counts as the real one does."""

    def __init__(self, table: Table, rank: int) -> None:
        self.table, self.rank, self.size, self.sent = table, rank, table.size, {}

    def _laid(self, row: Tensor) -> list[Tensor]:
        self.table.rows[self.rank] = row
        self.table.barrier.wait(10)
        found = list(self.table.rows)
        self.table.barrier.wait(10)
        return found

    def scatter(self, rows: Tensor, what: str = "push") -> Tensor:
        assert rows.dtype == torch.uint8
        self.sent[what] = self.sent.get(what, 0) + (self.size - 1) * rows[0].nbytes
        return torch.stack([there[self.rank] for there in self._laid(rows)])

    def gather(self, row: Tensor, what: str = "pull") -> Tensor:
        assert row.dtype == torch.uint8
        self.sent[what] = self.sent.get(what, 0) + (self.size - 1) * row.nbytes
        return torch.stack(self._laid(row))


def exchanged(schemes: list[Scheme], gradients: list[list[Tensor]], seed: int = 0):
    """Return what each worker gets, and its wire; `gradients` has for each worker those of its layers."""
    table = Table(len(gradients))
    wires = [ThreadWire(table, rank) for rank in range(table.size)]

    def work(rank: int) -> list[Tensor]:
        layers = list(range(len(gradients[rank])))
        return schemes[rank].mean(gradients[rank], layers, wires[rank], stream(seed, rank))

    with ThreadPoolExecutor(table.size) as pool:
        return list(pool.map(work, range(table.size))), wires


def some_gradients(size: int, seed: int = 1) -> list[list[Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return [[torch.randn(5, 7, generator=draw), 0.3 * torch.randn(9, generator=draw)] for _ in range(size)]


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


# Packing


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 8])
def test_what_was_packed_is_unpacked_and_takes_its_bits(bits: int) -> None:
    codes = torch.randint(2**bits, (3, 40), generator=torch.Generator().manual_seed(bits), dtype=torch.int32)
    packed = pack(codes, bits)
    assert (packed.dtype, packed.shape) == (torch.uint8, (3, bits * 5))
    assert torch.equal(unpack(packed, bits), codes)


def test_eight_ternary_codes_are_two_bytes_by_hand() -> None:
    assert pack(torch.tensor([2, 0, 1, 1, 0, 0, 0, 2]), 2).tolist() == [0b00001100, 0b10000001]


def test_width() -> None:
    assert [width(n) for n in (1, 2, 3, 4, 5, 9, 255, 256, 257)] == [1, 1, 2, 2, 3, 4, 8, 8, 9]


# Rounding


@pytest.mark.parametrize("levels", [1, 2, 7])
def test_rounding_is_unbiased_and_has_the_variance_that_was_derived(levels: int) -> None:
    gradient = torch.randn(200, generator=torch.Generator().manual_seed(3))
    scale, draws, generator = gradient.abs().max(), 1_500, stream(0, 1)
    many = torch.stack([rounded(gradient, scale, levels, generator) for _ in range(draws)])
    assert set(many.unique().tolist()) <= set(range(-levels, levels + 1))
    values = many.double() * float(scale) / levels
    error = values.mean(0) - gradient
    step = float(scale) / levels
    share = (gradient.double().abs() / step).frac()
    standard = step * (share * (1 - share) / draws).sqrt()
    assert bool((error.abs() < 5 * standard + 1e-6).all())
    found = float((values - gradient).square().sum(1).mean())
    assert found == pytest.approx(rounding_variance(gradient, float(scale), levels), rel=0.03)


def test_the_variance_of_one_level_in_closed_form() -> None:
    gradient = torch.tensor([0.5, -1.0, 0.0, 0.25])
    expected = 1.0 * 1.75 - (0.25 + 1.0 + 0.0625)
    assert rounding_variance(gradient, 1.0) == pytest.approx(expected)
    assert rounding_variance(torch.zeros(3), 0.0) == 0


def test_a_sign_is_kept_and_zeros_make_no_trouble() -> None:
    assert rounded(torch.tensor([-2.0, 2.0, 0.0]), torch.tensor(2.0), 1, stream(0, 0)).tolist() == [-1, 1, 0]
    assert rounded(torch.zeros(4), torch.tensor(0.0), 1, stream(0, 0)).tolist() == [0] * 4


def test_clipping_by_hand() -> None:
    gradient = torch.tensor([1.0, -1.0, 1.0, -1.0, 8.0, -8.0])
    limit = 1.5 * math.sqrt((4 + 128) / 6)
    assert clipped(gradient, 1.5).tolist() == pytest.approx([1, -1, 1, -1, limit, -limit])
    assert clipped(torch.full((3,), 2.0), 1.0).tolist() == [2.0] * 3
    assert angle(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])) == pytest.approx(45)


def test_clipping_bounds_the_variance_without_the_dimension() -> None:
    for power in (1, 3):
        gradient = torch.randn(10_000, generator=torch.Generator().manual_seed(power)) ** power
        cut = clipped(gradient, 2.5)
        variance = rounding_variance(cut, float(cut.abs().max()))
        assert variance < 2.5 * float(gradient.norm() * cut.norm()) - float(cut.square().sum())


# Exchange


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_float_gives_the_mean(size: int) -> None:
    gradients = some_gradients(size)
    found, wires = exchanged([Float()] * size, gradients)
    expected = torch.stack([flat(each) for each in gradients]).mean(0)
    for each in found:
        assert [mean.shape for mean in each] == [(5, 7), (9,)]
        assert torch.allclose(flat(each), expected, atol=1e-7)
        assert torch.equal(flat(each), flat(found[0]))
    share = math.ceil(44 / size) * 4
    assert wires[0].sent == {"push": (size - 1) * share, "pull": (size - 1) * share}


@pytest.mark.parametrize(
    "scheme",
    [
        terngrad(),
        terngrad(None),
        Levels(3, None),
        Levels(1, 2.5, shared=False),
        Levels(1, None, one_scale=True),
        Levels({0: 1, 1: FLOAT}),
        QSGD(3, 16),
    ],
    ids=str,
)
def test_rounded_gradients_have_the_mean_of_the_clipped_ones_and_agree(scheme: Scheme) -> None:
    gradients = some_gradients(3)
    draws = [exchanged([scheme] * 3, gradients, seed)[0] for seed in range(80)]
    for worker in draws[0]:
        assert torch.equal(flat(worker), flat(draws[0][0]))
    clip = getattr(scheme, "clip", None)
    whole = [flat([g if clip is None else clipped(g, clip) for g in each]) for each in gradients]
    expected = torch.stack(whole).mean(0)
    values = torch.stack([flat(draw[0]) for draw in draws]).double()
    standard = values.std(0) / math.sqrt(len(draws))
    unsure = (values.mean(0) - expected).abs() / (standard + 1e-7)
    assert float(unsure.max()) < 5
    assert float(unsure.square().mean()) < 2


def test_each_worker_draws_for_itself_so_that_noise_averages_out() -> None:
    gradient = [torch.randn(400, generator=torch.Generator().manual_seed(0))]

    def noise_of(size: int) -> float:
        draws = [exchanged([terngrad(None)] * size, [gradient] * size, seed)[0][0] for seed in range(40)]
        return float(torch.stack([(flat(d) - gradient[0]).square().sum() for d in draws]).mean())

    assert noise_of(4) == pytest.approx(noise_of(1) / 4, rel=0.15)


def test_bytes_of_terngrad_by_hand() -> None:
    gradients = [[torch.randn(100)] for _ in range(4)]
    _, wires = exchanged([terngrad()] * 4, gradients)
    # 100 values, filled up to 128: each share has 32 codes of 2 bits, and 32 sums, of 9 values, of 4
    assert wires[0].sent == {"scales": 3 * 4, "push": 3 * 8, "pull": 3 * 16}


def test_without_sharing_codes_go_to_all_and_scales_with_them() -> None:
    _, wires = exchanged([Levels(1, None, shared=False)] * 4, [[torch.randn(100)] for _ in range(4)])
    assert wires[0].sent == {"scales": 3 * 4, "push": 3 * 26}


def test_layers_of_different_widths_cost_what_they_cost() -> None:
    gradients = [[torch.randn(64), torch.randn(16)] for _ in range(2)]
    _, wires = exchanged([Levels({0: 1, 1: 7}, None)] * 2, gradients)
    assert wires[0].sent == {"scales": 8, "push": 8 + 4, "pull": 32 * 3 // 8 + 8 * 5 // 8}


def test_one_level_of_qsgd_with_the_largest_value_is_terngrad() -> None:
    gradients = some_gradients(2)
    same = exchanged([terngrad(None)] * 2, gradients)[0][0]
    other = exchanged([Levels(1, None)] * 2, gradients)[0][0]
    assert torch.equal(flat(same), flat(other))
    assert set((flat(same)[:35] / flat(same)[:35].abs().max() * 2).round().tolist()) <= {-2, -1, 0, 1, 2}


def test_the_largest_values_are_sent_and_the_rest_is_remembered() -> None:
    schemes = [TopK(0.5), TopK(0.5)]
    first = [[torch.tensor([1.0, -4.0, 3.0, 0.5])], [torch.tensor([2.0, 0.1, 0.2, -6.0])]]
    found, wires = exchanged(schemes, first)
    assert flat(found[0]).tolist() == flat(found[1]).tolist() == [1.0, -2.0, 1.5, -3.0]
    assert schemes[0].left[0].tolist() == [1.0, 0.0, 0.0, 0.5]
    assert wires[0].sent == {"push": 16}
    found, _ = exchanged(schemes, [[torch.tensor([3.0, 0.0, 3.5, 0.0])], [torch.zeros(4)]])
    assert flat(found[0]).tolist() == pytest.approx([2.0, 0.05, 1.85, 0.0])
    again = TopK(0.5)
    again.load_state_dict(schemes[0].state_dict())
    assert again.left.keys() == schemes[0].left.keys()
    assert all(torch.equal(again.left[layer], left) for layer, left in schemes[0].left.items())
    assert terngrad().state_dict() == {}
    forgetful = TopK(0.5, memory=False)
    exchanged([forgetful], [[torch.ones(4)]])
    assert not forgetful.left


# Bits by layer


def test_bits_go_where_they_take_away_most_noise() -> None:
    draw = torch.Generator().manual_seed(0)
    loud, quiet = torch.randn(64, generator=draw), 0.01 * torch.randn(64, generator=draw)
    noises = [[noise(g, bits) for bits in WIDTHS] for g in (quiet, loud)]
    assert all(a > b for row in noises for a, b in pairwise(row))
    bits = shared_out(noises, [64, 64], 3.0)
    assert bits == [2, 4]
    assert bits_a_value(bits, [64, 64]) == 3.0
    assert with_levels(bits) == {0: 1, 1: 7}
    assert shared_out(noises, [64, 64], 2.0) == [2, 2]
    assert shared_out(noises, [64, 64], 8.0) == [8, 8]
    assert [levels_of(bits) for bits in WIDTHS] == [1, 3, 7, 15, 31, 127]


# Bandwidth


def test_a_step_computes_waits_and_sends() -> None:
    assert step_seconds(0.5, 1e6, 2, 8e6, 0.25) == pytest.approx(0.5 + 2 * 0.25 + 1.0)


# Updates that are counted


def test_probabilities_have_their_mean_and_follow_the_wishes() -> None:
    wish = torch.rand(1_000, generator=torch.Generator().manual_seed(0)) ** 8
    wish[:300] = 0
    for mean in (0.01, 0.2, 0.5):
        chance = probabilities(wish, mean)
        assert float(chance.mean()) == pytest.approx(mean, rel=1e-3)
        assert float(chance.max()) <= 1
        assert not chance[:300].any()
        free = (chance > 0) & (chance < 1)
        quotient = chance[free] / wish[free]
        assert torch.allclose(quotient, quotient[0].expand_as(quotient), rtol=1e-3)
    assert float(probabilities(wish, 0.9).sum()) == pytest.approx(700, rel=1e-3)


def bounded(rule: str, budget: int = 6, steps: int = 20, seed: int = 0, whole: bool = False):
    weight = torch.nn.Parameter(torch.zeros(50))
    return weight, BoundedSGD([weight], 1.0, budget, steps, seed, rule=rule, whole=whole)


@pytest.mark.parametrize("rule", ["magnitude", "even"])
def test_a_bounded_step_has_the_expectation_of_a_plain_one(rule: str) -> None:
    gradient = torch.randn(50, generator=torch.Generator().manual_seed(1))
    moves = []
    for seed in range(1_200):
        weight, optimizer = bounded(rule, seed=seed)
        weight.grad = gradient.clone()
        optimizer.step()
        moves.append(-weight.detach())
    values = torch.stack(moves).double()
    standard = values.std(0) / math.sqrt(len(moves))
    certain = standard == 0  # a chance of 1
    assert float(((values.mean(0) - gradient).abs() / (standard + certain)).max()) < 5
    assert torch.allclose(values.mean(0)[certain].float(), gradient[certain])
    assert float((values != 0).double().mean()) == pytest.approx(0.3, rel=0.2)
    assert float((values.abs() / gradient.abs()).max()) <= 1 / (FLOOR * 0.3) + 1e-3


@pytest.mark.parametrize("rule", ["magnitude", "even", "largest"])
def test_no_weight_is_written_more_often_than_its_budget(rule: str) -> None:
    weight, optimizer = bounded(rule)
    draw, changed = torch.Generator().manual_seed(2), torch.zeros(50)
    for _ in range(20):
        before = weight.detach().clone()
        weight.grad = torch.randn(50, generator=draw) * torch.linspace(0.1, 3, 50)
        optimizer.step()
        changed += weight.detach() != before
    [writes] = optimizer.writes()
    assert torch.equal(writes, changed)
    assert int(writes.max()) == 6
    assert float(writes.mean()) > 5


def test_what_is_not_changed_was_not_written() -> None:
    weight, optimizer = bounded("even", budget=20)
    weight.grad = torch.zeros(50)
    optimizer.step()
    assert not optimizer.writes()[0].any()


def test_a_bounded_training_resumes_exactly(images: Images, tmp_path) -> None:
    class Killed(Exception):
        pass

    def trained(path, stop: bool = False) -> torch.nn.Module:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
        optimizer = BoundedSGD(net.parameters(), 0.01, 4, 12, 0, whole=True)
        recipe = Recipe(12, batch=10)
        rates = WriteRates(3, threshold=0.1)
        original = optimizer.step

        def step(closure):
            if stop and optimizer.state[optimizer.param_groups[0]["params"][0]]["step"] == 8:
                raise Killed
            return original(closure)

        optimizer.step = step
        loader = recipe.loader(images, 0)
        loader.transforms = loader.transforms[-1:]
        fit(net, loader, 12, optimizer, callbacks=[rates, Checkpoint(path, "k", every=5)])
        return net

    whole = trained(tmp_path / "a")
    with pytest.raises(Killed):
        trained(tmp_path / "b", stop=True)
    again = trained(tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_with_a_rate_past_writes_do_not_count() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(n)) for n in (20, 200)]
    optimizer = BoundedSGD(parameters, 0.1, 120, 200, 0, rate=0.1, whole=True)
    for parameter, size in zip(parameters, (6.0, 1.0), strict=True):
        parameter.grad = torch.full_like(parameter, size)
    halves = []
    for _ in range(200):
        optimizer.step()
        halves.append(float(optimizer.writes()[0].mean()))
    # 22 writes a step among wishes of 20 * 6 and 200 * 1
    assert halves[99] == pytest.approx(100 * 22 * 6 / 320, rel=0.1)
    assert halves[199] - halves[99] == pytest.approx(halves[99], rel=0.1)


def test_what_has_diverged_is_not_written_over_and_over() -> None:
    weight, optimizer = bounded("even", budget=2)
    weight.grad = torch.full((50,), torch.nan)
    for _ in range(20):
        optimizer.step()
    assert weight.isnan().any()
    assert int(optimizer.writes()[0].max()) == 1


def test_rates_are_noted_and_idle_parameters_frozen() -> None:
    class Given:
        def __init__(self, optimizer: BoundedSGD) -> None:
            self.optimizer, self.step = optimizer, 0

    def run(watch: WriteRates) -> BoundedSGD:
        parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((10, 10), (40,), (60,))]
        optimizer = BoundedSGD(parameters, 0.1, 40, 40, 0, rate=0.2, whole=True)
        given, draw = Given(optimizer), torch.Generator().manual_seed(0)
        for step in range(40):
            given.step = step
            for place, parameter in enumerate(parameters):
                size = (1.0, 1.0, 1.0 if 10 <= step < 20 else 1e-4)[place]
                parameter.grad = size * torch.randn(parameter.shape, generator=draw)
            optimizer.step()
            watch.on_step_end(given)
        return optimizer

    watch = WriteRates(10, threshold=0.5)
    optimizer = run(watch)
    assert watch.frozen == {2: 30}  # below half of its highest, not of its first
    assert [[len(outputs) for outputs in rates] for rates in watch.rates] == [[10, 40, 60]] * 4
    means = [[fmean(outputs) for outputs in rates] for rates in watch.rates]
    total = sum(float(writes.sum()) for writes in optimizer.writes())
    noted = [10 * n * rate for rates in means for n, rate in zip((100, 40, 60), rates, strict=True)]
    assert sum(noted) == pytest.approx(total)
    assert means[3][2] == 0 < means[2][2]
    # The writes of those that are frozen are saved, and neither given to others nor taken from them: all 40
    # of a step go to the 140 that are not quiet, before and after.
    assert [means[at][0] for at in (2, 3)] == pytest.approx([40 / 140] * 2, rel=0.1)
    wanting = run(WriteRates(10))
    assert [torch.equal(a, b) for a, b in zip(wanting.writes(), optimizer.writes(), strict=True)] == [
        True,
        True,
        False,
    ]


def test_lenet_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in LeNet5().parameters()) == 62_006
    assert sum(p.numel() for p in LeNet5(1).parameters()) == 61_706
    assert LeNet5()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)

"""The training loop against a loop written out, and its callbacks against hand-made numbers."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.data.augment import raw
from labkit.data.batches import Batch, Loader
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.models.convnet import ConvNet
from labkit.models.parts import convolutions
from labkit.training import fastest as fastest_room
from labkit.training import precision as precision_room
from labkit.training.callbacks import Callback, Training
from labkit.training.fastest import fastest
from labkit.training.fit import cross_entropy, fit
from labkit.training.history import History
from labkit.training.precision import _has_bfloat16_matrix_unit, choose, prefer
from labkit.training.schedules import LearningRate, one_cycle
from labkit.training.watching import GradientMagnitude, TrainAccuracy


@pytest.fixture
def loader() -> Loader:
    x = torch.randint(0, 256, (40, 3, 16, 16), generator=Generator().manual_seed(1), dtype=torch.uint8)
    return Loader(Images("some", x, torch.arange(40) % 10, tuple("0123456789"), "f"), 8, [raw], 0)


@pytest.fixture
def model() -> ConvNet:
    torch.manual_seed(0)
    return ConvNet(4)


def sgd(model: nn.Module, lr: float = 0.01) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr, momentum=0.9)


def states_equal(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_fit_is_the_loop_written_out(loader: Loader, model: ConvNet) -> None:
    by_hand = copy.deepcopy(model).to(memory_format=torch.channels_last).train()
    optimizer, losses = sgd(by_hand), []
    for step in range(12):
        batch = loader.batch(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(by_hand(batch.x.contiguous(memory_format=torch.channels_last)), batch.y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    history = fit(model, loader, 12, sgd(model), precision="float32")
    assert history.series("loss") == (list(range(12)), losses)
    assert states_equal(model, by_hand)


def test_no_steps_change_nothing_and_two_change_every_weight(loader: Loader, model: ConvNet) -> None:
    before = copy.deepcopy(model)
    fit(model, loader, 0, sgd(model))
    assert states_equal(model, before)
    fit(model, loader, 2, sgd(model))
    for old, new in zip(before.parameters(), model.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_the_loss_is_the_projects_own(loader: Loader, model: ConvNet) -> None:
    def doubled(model: nn.Module, batch: Batch) -> Tensor:
        return 2 * cross_entropy(model, batch)

    twin = copy.deepcopy(model)
    single = fit(model, loader, 1, sgd(model, 0.02), precision="float32")
    double = fit(twin, loader, 1, sgd(twin, 0.01), loss=doubled, precision="float32")
    assert double.series("loss")[1][0] == pytest.approx(2 * single.series("loss")[1][0])
    for one, two in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_an_optimizer_may_ask_for_the_gradient_twice(loader: Loader, model: ConvNet) -> None:
    class Twice(torch.optim.SGD):
        def step(self, closure):  # type: ignore[no-untyped-def]
            closure()
            return super().step(closure)

    gradients = []

    class Count(Callback):
        def on_gradient(self, training: Training) -> None:
            gradients.append(training.step)

    fit(model, loader, 3, Twice(model.parameters(), 0.01), callbacks=[Count()])
    assert gradients == [0, 0, 1, 1, 2, 2]


def test_moments_come_in_order_and_the_end_comes_after_an_error_too(loader: Loader, model: ConvNet) -> None:
    moments: list[str] = []

    class Log(Callback):
        def on_start(self, training: Training) -> None:
            moments.append("start")

        def on_step_start(self, training: Training) -> None:
            moments.append(f"step {training.step}")

        def on_gradient(self, training: Training) -> None:
            moments.append("gradient")

        def on_step_end(self, training: Training) -> None:
            moments.append("step end")
            if training.step == 1:
                raise RuntimeError("stop")

        def on_end(self, training: Training) -> None:
            moments.append("end")

    with pytest.raises(RuntimeError, match="stop"):
        fit(model, loader, 5, sgd(model), callbacks=[Log()])
    assert moments == [
        "start",
        *(["step 0", "gradient", "step end"]),
        *(["step 1", "gradient", "step end"]),
        "end",
    ]


def test_gradient_magnitude_is_the_largest_slope_of_the_loss(loader: Loader, model: ConvNet) -> None:
    first = convolutions(model)[0]
    twin = copy.deepcopy(model).double().train()
    history = fit(
        model, loader, 1, sgd(model), callbacks=[GradientMagnitude({"first": first})], precision="float32"
    )
    weight, batch = convolutions(twin)[0].weight.data.view(-1), loader.batch(0)
    x, slopes, h = batch.x.double(), [], 1e-6
    for i in range(len(weight)):  # central differences, one weight at a time
        ends = []
        for sign in (1, -1):
            weight[i] += sign * h
            ends.append(F.cross_entropy(copy.deepcopy(twin)(x), batch.y).item())
            weight[i] -= sign * h
        slopes.append(abs(ends[0] - ends[1]) / (2 * h))
    assert history.series("G first")[1] == pytest.approx([max(slopes)], rel=1e-3)
    median = sorted(slopes)[(len(slopes) - 1) // 2]
    assert history.series("median gradient first")[1] == pytest.approx([median], rel=1e-2)


def test_train_accuracy_is_that_of_the_batch_in_train_mode(loader: Loader, model: ConvNet) -> None:
    twin, batch = copy.deepcopy(model).train(), loader.batch(0)
    right = (twin(batch.x).argmax(1) == batch.y).double().mean().item()
    history = fit(model, loader, 1, sgd(model), callbacks=[TrainAccuracy()], precision="float32")
    assert history.series("train_accuracy")[1] == pytest.approx([right])
    assert not model._forward_hooks, "the listener must be gone after training"


def test_the_learning_rate_follows_its_factor(loader: Loader, model: ConvNet) -> None:
    rates: list[float] = []

    class Read(Callback):
        def on_gradient(self, training: Training) -> None:
            rates.append(training.optimizer.param_groups[0]["lr"])

    fit(model, loader, 3, sgd(model, 0.5), callbacks=[LearningRate(lambda step: 1 / (step + 1)), Read()])
    assert rates == pytest.approx([0.5, 0.25, 0.5 / 3])


def test_one_cycle_rises_to_one_and_falls_to_almost_zero() -> None:
    factors = [one_cycle(100)(step) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 20)
    assert factors[19] == pytest.approx(1)
    assert max(factors) <= 1
    assert factors[99] == pytest.approx(1 / 81)
    assert all(b > a for a, b in zip(factors[:19], factors[1:20], strict=True))
    assert all(b < a for a, b in zip(factors[20:], factors[21:], strict=False))
    assert min(one_cycle(1)(0), one_cycle(2)(1)) > 0


def test_history_samples_and_averages() -> None:
    history = History()
    for step in range(5):
        history.log("a", step, torch.tensor(float(step)))
    assert history.names() == ["a"]
    assert history.sampled("a", 2) == [(0, 0.0), (2, 2.0), (4, 4.0)]
    assert history.block_means("a", 2) == [(1, 0.5), (3, 2.5), (4, 4.0)]


def test_logging_keeps_no_graph(loader: Loader, model: ConvNet) -> None:
    history = fit(model, loader, 2, sgd(model))
    assert not any(value.requires_grad for value in history._values["loss"])


def test_a_switch_decides_the_precision() -> None:
    assert choose("cpu", "float32").name == "float32"
    assert choose("cpu", "bfloat16").name == "bfloat16"
    assert choose("cpu").name in ("float32", "bfloat16")
    with choose("cpu", "bfloat16").autocast():
        assert nn.Linear(2, 2)(torch.randn(1, 2)).dtype == torch.bfloat16
    with pytest.raises(LabkitError, match="auto, float32, bfloat16"):
        choose("cpu", "float64")  # type: ignore[arg-type]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """Let the next measurements find these gains, and keep them in a folder of the test."""
    gains = [1.8, 1.05]
    monkeypatch.delenv("LABKIT_PRECISION")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fastest_room, "_measured_gain", lambda: gains.pop(0))
    return gains


def test_bfloat16_is_taken_where_it_was_measured_to_be_faster_and_measured_once(
    measured: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert fastest("cpu").name == "bfloat16"
    assert fastest("cpu").name == "bfloat16"
    assert measured == [1.05]
    # Another version, and it is measured anew: a gain of a twentieth is not worth it.
    monkeypatch.setattr(torch, "__version__", "99")
    assert fastest("cpu").name == "float32"
    assert measured == []
    kept = json.loads((tmp_path / "labkit/precision.json").read_text())
    assert sorted(kept.values()) == [1.05, 1.8]
    assert all("threads, torch" in name for name in kept)


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', "\x00"])
def test_a_damaged_file_of_measurements_is_replaced(
    measured: list[float], tmp_path: Path, content: str
) -> None:
    (tmp_path / "labkit").mkdir()
    (tmp_path / "labkit/precision.json").write_text(content)
    assert fastest("cpu").name == "bfloat16"
    assert list(json.loads((tmp_path / "labkit/precision.json").read_text()).values()) == [1.8]


def test_the_user_may_name_the_precision(measured: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PRECISION", "float32")
    assert fastest("cpu").name == "float32"
    monkeypatch.setenv("LABKIT_PRECISION", "float8")
    with pytest.raises(LabkitError, match="unknown precision 'float8'; allowed: auto, float32, bfloat16"):
        fastest("cpu")
    assert len(measured) == 2


def test_a_measurement_gives_a_ratio_and_leaves_the_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastest_room, "STEPS", 1)
    before = torch.get_rng_state()
    assert 0.05 < fastest_room._measured_gain() < 50
    assert torch.equal(torch.get_rng_state(), before)


def test_auto_is_what_was_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_room, "_PREFERRED", {})
    assert choose("cpu").name == ("bfloat16" if _has_bfloat16_matrix_unit(torch.device("cpu")) else "float32")
    prefer(choose("cpu", "bfloat16"))
    assert choose("cpu").name == "bfloat16"
    assert choose("cpu", "float32").name == "float32"

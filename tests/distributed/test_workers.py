"""Training on real processes: two workers, started once for this file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import on_workers
import pytest
import torch
from torch import nn

from labkit.data.embedded.glyphs import glyphs
from labkit.data.images import Images
from labkit.distributed.gradients import workers as on_worker
from labkit.distributed.gradients.parallel import train_in_parallel
from labkit.distributed.gradients.replica import Replica, Task
from labkit.distributed.gradients.schemes import QSGD, Float, Levels, TopK, terngrad
from labkit.distributed.gradients.torchrun import lenet
from labkit.distributed.gradients.workers import Workers
from labkit.errors import LabkitError
from labkit.lab.clock import spent
from labkit.source.files import PACKAGE
from labkit.training import precision
from labkit.training.callbacks import Callback, Training
from labkit.training.checkpoint import Checkpoint
from labkit.training.recipe import Recipe, train

RECIPE = Recipe(4, 0.02, batch=32)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    found = Workers(2, sizes=(1,), patience=120)
    yield found
    found.close()


@pytest.fixture(scope="module")
def glyph_images() -> Images:
    return glyphs("train", 200)


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared with workers computes in their precision, whatever this machine prefers."""
    monkeypatch.setitem(precision._PREFERRED, "cpu", torch.float32)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_one_worker_without_rounding_is_plain_sgd_to_the_bit(workers: Workers, glyph_images: Images) -> None:
    alone, parallel = lenet(0), lenet(0)
    history = train(alone, glyph_images, RECIPE, 3)
    found = train_in_parallel(workers, 1, parallel, glyph_images, RECIPE, 3, Float())
    assert same(alone, parallel)
    assert found.history.series("loss") == history.series("loss")
    assert found.a_step("push") == found.a_step("pull") == 0


def test_two_workers_have_the_gradient_of_the_joined_batch_and_of_ddp_itself(
    workers: Workers, glyph_images: Images
) -> None:
    task = Task(lenet(0), glyph_images, RECIPE, 3, Float())
    plain = workers.call(2, on_workers.gradient_of_ddp, 2, task)[0]
    workers.call(2, on_worker.prepare, 2, task)
    workers.call(2, on_worker.step, 0)
    for ours, theirs in zip(workers.call(2, on_workers.gradient_of_replica)[1], plain, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    alone = lenet(0)
    batch = RECIPE.loader(glyph_images, 3).batch(0)
    nn.functional.cross_entropy(alone(batch.x), batch.y).backward()
    for parameter, ours in zip(alone.parameters(), plain, strict=True):
        assert torch.allclose(parameter.grad, ours, atol=1e-6)


@pytest.mark.parametrize(
    "scheme",
    [Float(), terngrad(), Levels(1, None, shared=False), QSGD(), TopK(1 / 32)],
    ids=lambda s: type(s).__name__,
)
def test_weights_are_the_same_on_all_workers_after_each_step(
    workers: Workers, glyph_images: Images, scheme
) -> None:
    workers.call(2, on_worker.prepare, 2, Task(lenet(0), glyph_images, RECIPE, 0, scheme))
    seen = set()
    for number in range(3):
        workers.call(2, on_worker.step, number)
        one, other = workers.call(2, on_worker.digest)
        assert one == other
        seen.add(one)
    assert len(seen) == 3


def test_the_bytes_of_terngrad_are_those_of_its_codes(workers: Workers, glyph_images: Images) -> None:
    model = lenet(0)
    found = train_in_parallel(workers, 2, model, glyph_images, RECIPE, 0, terngrad())
    values = -(-62_006 // 16) * 16
    assert found.a_step("push") == values / 2 * 2 / 8
    assert found.a_step("pull") == values / 2 * 3 / 8
    assert found.a_step("scales") == 10 * 4
    assert found.a_step("rounds") == 3
    assert found.a_step("compute") > found.a_step("codec") > 0


def test_a_killed_training_resumes_to_the_bit(workers: Workers, glyph_images: Images, tmp_path: Path) -> None:
    class Stop(Callback):
        def on_step_start(self, training: Training) -> None:
            if training.step == 3:
                raise KeyboardInterrupt

    def trained(path: Path, *callbacks: Callback) -> nn.Module:
        model = lenet(0)
        keep = Checkpoint(path, "key", every=2)
        scheme = TopK(1 / 32)
        train_in_parallel(workers, 2, model, glyph_images, RECIPE, 0, scheme, callbacks=[*callbacks, keep])
        return model

    whole = trained(tmp_path / "whole", Callback())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", Stop())
    assert same(whole, trained(tmp_path / "killed", Callback()))


def test_the_time_of_workers_is_counted(workers: Workers) -> None:
    before = spent()
    workers.call(2, on_worker.ready)
    began = time.process_time()
    workers.call(2, on_workers.burn, 0.2)
    assert spent() - before > 0.4 + (time.process_time() - began) * 0.5
    assert spent() - before < 1.5


def test_a_batch_that_cannot_be_shared_is_refused(glyph_images: Images) -> None:
    task = Task(lenet(0), glyph_images, Recipe(1, batch=7), 0, Float())
    with pytest.raises(LabkitError, match="a batch of 7 cannot be shared by 2 workers alike"):
        Replica(task, 0, 2, None, torch.device("cpu"), torch.device("cpu"))


def test_an_error_on_a_worker_is_told() -> None:
    one = Workers(1, patience=120)
    with pytest.raises(LabkitError, match=r"worker 0 of 1: ValueError: a plate was dropped"):
        one.call(1, on_workers.fail, 0)
    with pytest.raises(LabkitError, match="have ended: start new ones"):
        one.call(1, on_worker.ready)
    one.close()


def test_a_worker_that_dies_is_an_error_within_seconds() -> None:
    two = Workers(2, patience=120)
    began = time.monotonic()
    with pytest.raises(LabkitError, match=r"worker 1 of 2 was ended by signal 9"):
        two.call(2, on_workers.vanish, 1)
    assert time.monotonic() - began < 30
    assert not any(process.is_alive() for process in two.processes)


def test_a_worker_that_does_not_answer_is_an_error() -> None:
    one = Workers(1, patience=120)
    one.patience = 0.5
    with pytest.raises(LabkitError, match=r"no answer for 0.5 s from worker 0 of 1"):
        one.call(1, on_workers.sleep, 60)
    assert not one.processes[0].is_alive()


@pytest.mark.slow
def test_torchrun_gives_the_weights_of_the_notebook(workers: Workers) -> None:
    images = glyphs("train", 1_000)
    workers.call(2, on_worker.prepare, 2, Task(lenet(1), images, Recipe(3, 0.02), 1, terngrad()))
    for number in range(3):
        workers.call(2, on_worker.step, number)
    [digest, _] = workers.call(2, on_worker.digest)
    asked = "--scheme terngrad --steps 3 --seed 1"
    launcher = "-m torch.distributed.run --standalone --nproc-per-node 2"
    found = subprocess.run(
        [sys.executable, *launcher.split(), "-m", "labkit.distributed.gradients.torchrun", *asked.split()],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert re.search(rf"2 workers, terngrad: 19,\d\d\d bytes .* weights {digest}", found.stdout)

"""`labkit rehearse`: each line of a large run in seconds, what the whole would take, what is kept of it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor, nn
from trial import PARAMETERS, commit_with_package, write_book

from labkit.adversarial.black_box.oracle import Oracle
from labkit.chapters.chapter import Chapter
from labkit.commands.records import verify
from labkit.commands.rehearse import rehearse as command
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.lab import provenance
from labkit.lab.abridged import QUERIES, Abridged, _far
from labkit.lab.evidence import Evidence
from labkit.lab.record import Record, sealed, unsealed
from labkit.lab.rehearsal import not_yet_run, read_rehearsal
from labkit.lab.report import Report
from labkit.lab.standing import CodeState
from labkit.paths import cache_folder
from labkit.site.directives.recorded import rehearsals
from labkit.source.files import snapshot
from labkit.training.callbacks import Callback, Training
from labkit.training.snapshots import Snapshot, StartAt

# Its large size takes minutes: 2,000 steps of a quarter of a second, and passes over 2,000 images.
CELLS = """
```{code-cell}
import math
import time

import torch
from torch import Tensor, nn

import labkit
from labkit.data.augment import channel_statistics, raw
from labkit.data.embedded.glyphs import glyphs
from labkit.data.batches import Loader
from labkit.measure.predict import accuracy, logits
from labkit.training.fit import fit
from labkit.training.held_out import ValidationLoss
from labkit.training.snapshots import Snapshot

lab = labkit.open_lab("p00-trial", profile=profile, seed=seed, epochs=epochs)
images = glyphs("train", 2_000)
steps = lab.pick(smoke=2, laptop=20, full=1_000)


class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 10)
        self.seen = []

    def forward(self, x):
        if not self.training:
            self.seen.append(len(x))
        time.sleep(0.25 if self.training else len(x) / 1_000)
        return self.linear(x.mean((2, 3)))
```

```{code-cell}
:tags: [figure]
from labkit.training.callbacks import Training
raise AssertionError("figures are not drawn")
```

```{code-cell}
assert lab.once("long", lambda: {"three": 3}) == {"three": 3}
mean, std = lab.shared("statistics", channel_statistics, x=images.x)
model, snapshot = Slow(), Snapshot(30 if profile == "full" else 1)
history = fit(
    model,
    Loader(images, 100, [raw], seed),
    steps,
    torch.optim.SGD(model.parameters(), 1e-6),
    callbacks=[snapshot, ValidationLoss(images, [raw], steps // 4), *lab.checkpoint("slow")],
    title="slow",
)
assert snapshot.kept.keys() == model.state_dict().keys()
assert len(history.series("loss")[0]) == steps
assert len(history.series("validation_loss")[0]) == 4
model.seen = []
value = accuracy(model, images, [raw])
assert model.seen == [7, 7], "two batches of seven"
assert len(logits(model, images, [raw])) == 2_000
lab.record("R1", [{"step": s, "loss": v} for s, v in history.sampled("loss", 10)])
lab.record("R2", [{"accuracy": value, "no number in a rehearsal": 1.0 if profile == "smoke" else math.nan}])
```

```{code-cell}
from labkit.training.steps import repeat

parts = {"G": nn.Linear(2, 2), "D": nn.Linear(2, 2)}
parts |= {f"{name} optimizer": torch.optim.SGD(parts[name].parameters(), 0.1) for name in "GD"}
turns = []


def turn(number):
    turns.append(number)
    for name in "DG":
        loss = parts[name](torch.ones(1, 2)).sum()
        loss.backward()
        parts[f"{name} optimizer"].step()
    time.sleep(0.25)
    return loss


repeat(turn, Training(parts, steps, lab.checkpoint("two")), title="two networks")
assert turns == ([0, 500, 999] if profile == "full" else turns)
lab.record("R3", [{"small": 1 / (turns[-1] - lab.pick(smoke=0, laptop=19, full=0))}])
```

```{code-cell}
lab.close()
```

```{code-cell}
:tags: [exercise]
raise AssertionError("exercises are not done")
```
"""
FOLDER = "results/p00-trial/full"


def make_book(root: Path) -> None:
    write_book(root, PARAMETERS, CELLS)
    commit_with_package(root)


def called(group: Any, *arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, float]:
    """A book of one chapter that was rehearsed at its large size, what that printed, and how long it took."""
    root = tmp_path_factory.mktemp("rehearsed")
    make_book(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("LABKIT_PRECISION", "float32")
        started = time.monotonic()
        result = called(command, "p00")
        return root, result, time.monotonic() - started


@pytest.fixture
def book(done: tuple[Path, Result, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that book."""
    root = tmp_path / "book"
    shutil.copytree(done[0], root)
    monkeypatch.chdir(root)
    return root


def test_a_large_run_is_over_in_seconds_and_its_hours_are_known(
    done: tuple[Path, Result, float],
) -> None:
    root, result, seconds = done
    assert result.exit_code == 0, result.output
    assert seconds < 250, "half of what its trainings alone would take"
    slow, two, sums = result.output.splitlines()
    assert re.match(r"slow +1,000 steps, 0\.[2-4]\d+ s each", slow)
    assert re.match(r"two networks +1,000 steps, 0\.[2-4]\d+ s each", two)
    assert "2 trainings of 2,000 steps, 6 passes over images" in sums
    found = read_rehearsal(Chapter("p00-trial", root), "full")
    assert found is not None
    # Two times 1,000 steps of 0.25 s; the validation at four of them and two passes, all of 2,000 ms.
    assert found.hours * 3600 == pytest.approx(2 * 250 + 6 * 2, rel=0.5)
    assert not (root / "runs").exists(), "checkpoints are those of real runs"
    assert not list((cache_folder() / "zoo").glob("channel_statistics-*")), "and so is what they share"
    assert sorted(path.name for path in (root / FOLDER).iterdir()) == ["rehearsal.json"]


def test_it_is_looked_over_and_stale_once_the_code_has_changed(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapter = Chapter("p00-trial", book)
    result = called(verify)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("p00 full: rehearsed on 20")
    assert result.output.endswith("not yet run\n")
    told = not_yet_run(chapter, "full")
    report = Report(Evidence(), Record("p00-trial", "smoke", 0), [], CodeState(), told)
    assert "Profile full: rehearsed on" in report.provenance()
    page = [node.astext() for node in rehearsals([chapter])]
    assert page == ["Rehearsed", f"p00 {told}."]
    file = "labkit/training/held_out.py"
    changed = snapshot() | {file: snapshot()[file].replace("F.cross_entropy(", "2 * F.cross_entropy(")}
    monkeypatch.setattr(provenance, "snapshot", lambda: changed)
    assert not_yet_run(chapter, "full").endswith(
        "not yet run; stale, changed since: training.held_out.ValidationLoss"
    )


def test_a_recorded_profile_is_not_called_not_yet_run(book: Path) -> None:
    (book / FOLDER / "seed-0.json").write_text("{}")
    assert not_yet_run(Chapter("p00-trial", book), "full") == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hours": -1.0}, "estimates -1.0 hours"),
        ({"hours": "3"}, "is not a rehearsal: its hours cannot be read"),
        ({"trainings": [{"steps": 5}]}, "is not a rehearsal: its trainings cannot be read"),
        ({"surplus": 1}, "is not a rehearsal: "),
        ({"profile": "laptop"}, "holds p00-trial, laptop"),
        ({"code": {"experiment": "0"}}, "was not made by the code of commit"),
        ({"commit": {"sha": "0" * 40, "clean": False}}, "was made while the code was not as committed"),
    ],
)
def test_damage_is_a_line_that_names_the_file(book: Path, change: dict[str, Any], fault: str) -> None:
    path = book / FOLDER / "rehearsal.json"
    path.write_text(sealed(unsealed(path) | change))
    result = called(verify)
    assert result.exit_code == 1
    assert f"{FOLDER}/rehearsal.json: {fault}" in result.output


def test_an_edit_that_is_not_sealed_is_damage_and_the_chapter_says_so(book: Path) -> None:
    path = book / FOLDER / "rehearsal.json"
    path.write_text(path.read_text().replace('"passes":6', '"passes":7'))
    result = called(verify)
    assert result.exit_code == 1
    assert f"{FOLDER}/rehearsal.json: is not a rehearsal: it was changed" in result.output


def test_a_cell_that_fails_is_one_line_and_nothing_is_kept(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At the laptop's size the last table divides by zero; twenty steps are done in a moment.
    source = book / "book/p00-trial.md"
    source.write_text(source.read_text().replace("0.25", "0.01"))
    result = called(command, "p00", "--profile", "laptop")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == (
        "Error: p00 laptop: cell 6, line 20: ZeroDivisionError: division by zero"
    )
    assert not (book / "results/p00-trial/laptop").exists()


@pytest.mark.parametrize("profile", ["smoke", "huge"])
def test_other_profiles_are_refused(book: Path, profile: str) -> None:
    result = called(command, "p00", "--profile", profile)
    assert result.exit_code == 1


class Taken(Callback):
    """Notes the steps."""

    def __init__(self, every: int = 10**9) -> None:
        self.every, self.steps = every, list[int]()

    def on_step_end(self, training: Training) -> None:
        self.steps.append(training.step)


def steps_of(*callbacks: Callback, steps: int = 1_000, seconds: float = 0.3) -> list[int]:
    def step(number: int) -> torch.Tensor:
        time.sleep(seconds)
        return torch.tensor(float(number))

    taken = Taken()
    Abridged(7, lambda *_: None).repeat(step, Training({}, steps, [*callbacks, taken]), title="")
    return taken.steps


def test_steps_taken_are_first_middle_last_and_the_moments_of_callbacks() -> None:
    assert steps_of() == [0, 500, 999]
    assert steps_of(Taken(every=100)) == [0, 500, 999]  # the last is one of its
    assert steps_of(Taken(every=300)) == [0, 299, 500, 999]
    assert steps_of(StartAt(900), seconds=0.21) == [900, 950, 999]
    model = nn.Linear(1, 1)
    snapshot = Snapshot(10)
    taken = Taken()
    Abridged(7, lambda *_: None).repeat(
        lambda number: torch.zeros(()), Training({"model": model}, 40, [snapshot, taken]), title=""
    )
    assert snapshot.kept.keys() == model.state_dict().keys()
    assert taken.steps == [0, 10, 20, 21, 22, 23, 24, 39]  # quick ones are timed more than once
    assert steps_of(steps=1) == [0]
    assert steps_of(steps=0) == []


def test_an_answer_about_a_few_images_is_repeated_for_all(images: Images) -> None:
    def looked_at(images: Images, size: int = 500) -> dict[str, Any]:
        time.sleep(len(images) / 100)
        return {"x": images.x, "n": len(images), "size": size}

    abridged = Abridged(7, lambda *_: None)
    found = abridged._pass(looked_at)(images)
    assert (found["n"], found["size"], len(found["x"])) == (14, 7, len(images))
    assert found["x"][15].equal(images.x[1])
    assert abridged.passes == 1
    assert abridged.spent == pytest.approx(0.14, rel=0.5)
    assert abridged.seconds == pytest.approx(0.4, rel=0.5)
    weights = torch.zeros(16, 3, 3, 3)
    assert abridged._pass(lambda weights: weights)(weights) is weights
    few = images.first(14)
    assert abridged._pass(looked_at)(few)["size"] == 500  # not cut
    assert abridged.passes == 1
    assert abridged._pass(looked_at)(images, 250)["size"] == 7
    labels = torch.arange(len(images))
    made = abridged._pass(lambda images, y: dataclasses.replace(images, x=images.x.clone(), y=y))
    assert made(images, labels).y is labels, "what comes back as it went in comes back whole"
    several = abridged._pass(lambda images: torch.arange(3)[:, None] + images.y)(images)
    assert several.shape == (3, len(images))
    assert several[:, 15].equal(torch.arange(3) + images.y[1])


def test_an_attack_asks_little_and_its_time_stands_for_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(len(x) / 500)
            return torch.zeros(len(x), 2)  # of images of class 1, all are misread

    def attack(oracle: Oracle, seed: int) -> int:
        rows, asked = torch.arange(len(oracle.originals)), 0
        while bool((oracle.left > 0).all()):
            asked += int(oracle.ask((oracle.originals + 0.2).clamp(0, 1), rows).sum())
        return asked

    monkeypatch.setattr(Oracle, "_adversarial", _far(Oracle._adversarial))
    monkeypatch.setattr(nn.Module, "__call__", nn.Module.__call__)  # put back at the end
    abridged = Abridged(1, lambda *_: None)
    nn.Module.__call__ = abridged._pass(nn.Module.__call__)
    oracle = Oracle(Slow(), torch.full((6, 1, 8, 8), 100.0), torch.ones(6).long(), budget=3_000)
    before = abridged.seconds
    assert abridged._pass(attack)(oracle, 0) == 6 * QUERIES, "what is far is adversarial"
    assert oracle.asked.tolist() == [QUERIES] * 6
    assert oracle.budget.tolist() == [3_000] * 6
    # ten times as many queries, each of three times as many images as the two that were looked at
    assert abridged.seconds - before == pytest.approx(3_000 * 6 / 500, rel=0.5)


def test_only_small_steps_have_small_batches(images: Images) -> None:
    abridged = Abridged(7, lambda *_: None)
    batch = abridged._batch(Loader.batch)
    loader = Loader(images, 20, [], 0)
    assert len(batch(loader, 0).x) == 20
    abridged._small = True
    assert len(batch(loader, 0).x) == len(batch(loader, 0).y) == 14

"""Exact resume: real processes are killed, and end where the one that was not killed ends."""

from __future__ import annotations

import pickle
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import resumable
import safetensors.torch
import torch
from resumable import STEPS
from torch import nn
from trial import write_book

from labkit import trees
from labkit.data.augment import raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.lab.session import open_lab
from labkit.training.callbacks import Callback, Training
from labkit.training.checkpoint import Checkpoint, arithmetic
from labkit.training.fit import fit
from labkit.training.precision import Precision
from labkit.trees import load_tree, save_tree

SCRIPT = Path(resumable.__file__)


def start(kind: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), kind, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def steps_of(process: subprocess.Popen[str], until: int = STEPS) -> list[int]:
    """Return the steps the process tells of, the last being at most `until`."""
    told: list[int] = []
    assert process.stdout is not None
    for line in process.stdout:
        told.append(int(line.split()[1]))
        if told[-1] >= until:
            break
    return told


@pytest.mark.parametrize(
    ("kind", "kills"), [("sgd", 3), ("mask", 4), ("adam", 3), ("game", 3), ("clients", 3)]
)
def test_a_killed_training_ends_where_the_uninterrupted_one_does(
    kind: str, kills: int, tmp_path: Path
) -> None:
    whole = start(kind, tmp_path / "whole")
    assert steps_of(whole) == list(range(STEPS))
    assert whole.wait() == 0
    dice = random.Random(kind)
    resumed_at = []
    for _ in range(kills):
        process = start(kind, tmp_path / "killed")
        told = steps_of(process, until=dice.randrange(STEPS - 15))
        time.sleep(dice.random() * 0.01)  # somewhere within a step, or while the state is being written
        process.kill()
        process.wait()
        resumed_at.append(told[0])
    last = start(kind, tmp_path / "killed")
    told = steps_of(last)
    assert last.wait() == 0
    assert told == list(range(told[0], STEPS))
    assert max(*resumed_at, told[0]) > 0, "no process found anything to resume"
    assert (tmp_path / "killed/end").read_text() == (tmp_path / "whole/end").read_text()


@pytest.fixture
def loader() -> Loader:
    x = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8)
    return Loader(Images("some", x, torch.arange(40) % 10, tuple("0123456789"), "f"), 8, [raw], 0)


def train(loader: Loader, path: Path, key: str = "key", steps: int = 10) -> tuple[nn.Module, int]:
    """Train and return the model and the number of gradients computed."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    count = []
    model.register_full_backward_hook(lambda *_: count.append(1))
    fit(model, loader, steps, torch.optim.SGD(model.parameters(), 1e-4), callbacks=[Checkpoint(path, key, 4)])
    return model, len(count)


def test_a_training_that_is_complete_costs_nothing(loader: Loader, tmp_path: Path) -> None:
    first, computed = train(loader, tmp_path / "c")
    again, computed_again = train(loader, tmp_path / "c")
    assert (computed, computed_again) == (10, 0)
    assert torch.equal(first[1].weight, again[1].weight)


def misfit(saved: dict, kind: str) -> object:
    """Return what `train` saved, changed so that it no longer is a state of that training."""
    model, optimizer, history = saved["parts"]["model"], saved["parts"]["optimizer"], saved["history"]
    if kind == "a weight of another shape":
        model["1.bias"] = torch.zeros(11)
    elif kind == "a weight that would broadcast":
        model["1.bias"] = torch.zeros(1)
    elif kind == "a weight of another type":
        model["1.weight"] = model["1.weight"].double()
    elif kind == "a weight that is none":
        model["1.bias"] = "bias"
    elif kind == "a weight too few":
        del model["1.bias"]
    elif kind == "a weight too many":
        model["2.bias"] = torch.zeros(1)
    elif kind == "momentum of another shape":
        optimizer["state"][1]["momentum_buffer"] = torch.zeros(10, 16)
    elif kind == "momentum of no parameter":
        optimizer["state"][7] = {"momentum_buffer": torch.zeros(10)}
    elif kind == "momentum that is a text":
        optimizer["state"][1] = "momentum"
    elif kind == "another optimizer's groups":
        del optimizer["param_groups"][0]["momentum"]
    elif kind == "fewer groups":
        optimizer["param_groups"] = []
    elif kind == "an odd history":
        history["loss"] = [torch.arange(3), torch.zeros(2)]
    elif kind == "no history":
        saved["history"] = 5
    elif kind == "another number of callbacks":
        saved["callbacks"] = []
    elif kind == "a callback's state of another kind":
        saved["callbacks"] = [[1, 2]]
    elif kind == "random numbers":
        saved["random"]["torch"] = torch.zeros(3)
    elif kind == "more steps than there are":
        saved["done"] = 11
    elif kind == "half a step":
        saved["done"] = 4.5
    elif kind == "a part left out":
        del saved["random"]
    elif kind == "other parts":
        saved["parts"] = {"model": model}
    elif kind == "a list":
        return [saved]
    elif kind == "no key":
        del saved["key"]
    return saved


MISFITS = [
    *("a weight of another shape", "a weight that would broadcast", "a weight of another type"),
    *("a weight that is none", "a weight too few", "a weight too many"),
    *("momentum of another shape", "momentum of no parameter", "momentum that is a text"),
    *("another optimizer's groups", "fewer groups", "an odd history", "no history"),
    *("another number of callbacks", "a callback's state of another kind", "random numbers"),
    *("more steps than there are", "half a step", "a part left out", "a list", "no key", "other parts"),
]


class Count(Callback):
    """Counts steps; its state is checked by nothing but itself."""

    def __init__(self) -> None:
        self.count = 0

    def on_step_end(self, training: Training) -> None:
        self.count += 1

    def state(self) -> dict[str, int]:
        return {"count": self.count}

    def restore(self, state: dict[str, int]) -> None:
        self.count = state["count"]


@pytest.mark.parametrize("kind", MISFITS)
def test_a_state_that_does_not_fit_is_restored_in_no_part(loader: Loader, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "c"
    whole, wholly_counted, _ = train_counting(loader, path)
    saved = load_tree(path)
    assert saved["done"] == 10
    changed = misfit(saved, kind)
    save_tree(path, changed)
    again, counted, steps = train_counting(loader, path)
    assert steps == 10, "it must be trained anew"
    assert counted == wholly_counted == 10
    assert all(torch.equal(one, two) for one, two in zip(whole.parameters(), again.parameters(), strict=True))
    assert train_counting(loader, path)[2] == 0, "the file must have been overwritten"


def train_counting(loader: Loader, path: Path) -> tuple[nn.Module, int, int]:
    """Train; return the model, what `Count` counted in all processes and the steps of this one."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10), nn.Dropout(0.5))
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
    counter, steps = Count(), []
    model.register_forward_hook(lambda *_: steps.append(1))
    fit(model, loader, 10, optimizer, callbacks=[counter, Checkpoint(path, "key", 4)])
    return model, counter.count, len(steps)


@pytest.mark.parametrize("other", [{"key": "other"}, {"steps": 12}])
def test_a_checkpoint_of_something_else_is_not_taken(loader: Loader, tmp_path: Path, other: dict) -> None:
    train(loader, tmp_path / "c")
    assert train(loader, tmp_path / "c", **other)[1] == other.get("steps", 10)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b[:-3] + b"\0\1\2", lambda b: b"", lambda b: b[5:]]
)
def test_a_damaged_checkpoint_is_noticed_and_trained_again(loader: Loader, tmp_path: Path, damage) -> None:
    path = tmp_path / "c"
    whole, _ = train(loader, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(LabkitError, match="damaged"):
        load_tree(path)
    model, computed = train(loader, path)
    assert computed == 10
    assert torch.equal(model[1].weight, whole[1].weight)


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = [
        torch.randn(2, 3),
        torch.tensor(True),
        torch.arange(3),
        torch.zeros(0),
        torch.randn(4).bfloat16(),
    ]
    tree = {"a": [1, 2.5, None, ("x", False)], 0: {"deep": tensors}, "none": {}}
    save_tree(tmp_path / "t", tree)
    again = load_tree(tmp_path / "t")
    for one, two in zip(tensors, again[0].pop("deep"), strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one, two)
    tree[0].pop("deep")
    assert again == tree


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_book(tmp_path).root


def run(loader: Loader, **parameters: int) -> int:
    """Train under the checkpoint of a lab, as a chapter does; return the number of gradients computed."""
    lab = open_lab("p00-trial", profile="laptop", seed=0, **parameters)
    model, count = nn.Sequential(nn.Flatten(), nn.Linear(16, 10)), []
    model.register_full_backward_hook(lambda *_: count.append(1))
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    fit(model, loader, 10, optimizer, callbacks=lab.checkpoint("A net, trained"))
    return len(count)


@pytest.mark.parametrize("change", ["torch", "threads", "precision", "parameters", "nothing"])
def test_a_run_goes_on_only_where_it_would_compute_the_same(
    book: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    assert run(loader) == 10
    [file] = book.glob("runs/p00-trial/laptop/seed-0/*")
    assert file.name == "a-net-trained.safetensors"
    if change == "torch":
        monkeypatch.setattr(torch, "__version__", "2.99.0")
    elif change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    elif change == "precision":
        bfloat16 = Precision(torch.device("cpu"), torch.bfloat16)
        monkeypatch.setattr("labkit.training.checkpoint.choose", lambda device: bfloat16)
    parameters = {"epochs": 3} if change == "parameters" else {}
    assert run(loader, **parameters) == (0 if change == "nothing" else 10)
    assert list(book.glob("runs/p00-trial/laptop/seed-0/*")) == [file]


def test_threads_count_on_a_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.training.checkpoint.choose", lambda device: Precision(device, torch.float32))
    here = {kind: arithmetic(torch.device(kind)) for kind in ("cpu", "cuda")}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    assert arithmetic(torch.device("cpu")) == {**here["cpu"], "threads": 99}
    assert arithmetic(torch.device("cuda")) == here["cuda"]


ONE = {"0": torch.arange(4.0)}
NONSENSE: dict[str, tuple[str, dict[str, torch.Tensor]]] = {
    "no JSON": ("{", {}),
    "nothing": ("", {}),
    "deep": ("[" * 100_000, {}),
    "deep, well formed": ('{"list": [' * 50_000 + "]}" * 50_000, {}),
    "a bare list": ("[1, 2]", {}),
    "a list like a dict": ('[["list", []]]', {}),
    "no kind": ("{}", {}),
    "two kinds": ('{"list": [], "dict": []}', {}),
    "an unknown kind": ('{"foo": [1, 2]}', {}),
    "a list of a number": ('{"list": 3}', {}),
    "a list of a text": ('{"list": "abc"}', {}),
    "a tuple of a dict": ('{"tuple": {"list": []}}', {}),
    "a dict of a dict": ('{"dict": {"list": []}}', {}),
    "a dict of single things": ('{"dict": [1, 2]}', {}),
    "a dict of triples": ('{"dict": [[1, 2, 3]]}', {}),
    "a dict of texts": ('{"dict": ["ab"]}', {}),
    "a dict whose key is a list": ('{"dict": [[{"list": []}, 1]]}', {}),
    "a dict whose key comes twice": ('{"dict": [["a", 1], ["a", 2]]}', {}),
    "a tensor that is not there": ('{"tensor": "7"}', {}),
    "a tensor by a number": ('{"tensor": 0}', ONE),
    "a tensor by a list": ('{"tensor": ["0"]}', ONE),
    "a tensor twice": ('{"list": [{"tensor": "0"}, {"tensor": "0"}]}', ONE),
    "a tensor left over": ('{"list": []}', ONE),
    "a number too long": ("9" * 10_000, {}),
}


def write_raw(path: Path, shape: str, tensors: dict[str, torch.Tensor]) -> None:
    """Write `shape` as the tree of `tensors`, with the hash that is right for it."""
    metadata = {"tree": shape, "sha256": trees._hash(shape, tensors)}
    path.write_bytes(safetensors.torch.save(tensors, metadata))


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_with_a_right_hash_is_called_damaged(tmp_path: Path, kind: str) -> None:
    write_raw(tmp_path / "t", *NONSENSE[kind])
    with pytest.raises(LabkitError, match="damaged") as caught:
        load_tree(tmp_path / "t")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_the_hash_of_nonsense_is_really_right(tmp_path: Path) -> None:
    write_raw(tmp_path / "t", '{"list": [{"tensor": "0"}]}', ONE)
    assert torch.equal(load_tree(tmp_path / "t")[0], ONE["0"])


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "content",
    [
        header(b"{}", 1 << 62),
        header(b"{}", (1 << 64) - 1),
        header(b"[" * 100_000),
        header(b'{"a": ' * 100_000),
        header(b"{}"),
        header(b'{"__metadata__": {"tree": "1"}}'),
        header(b'{"__metadata__": {"tree": 1}}'),
        header(b'{"0": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}') + bytes(16),
        header(b'{"0": {"dtype": "F32", "shape": [5], "data_offsets": [0, 16]}}') + bytes(16),
        header(b'{"0": {"dtype": "F4", "shape": [32], "data_offsets": [0, 16]}}') + bytes(16),
        header(b'{"0": {"dtype": "F8_E8M0", "shape": [16], "data_offsets": [0, 16]}}') + bytes(16),
        header(b'{"0": {"dtype": "Q9", "shape": [16], "data_offsets": [0, 16]}}') + bytes(16),
        header(b'{"0": {"dtype": "U8", "shape": [16], "data_offsets": [0, 1000]}}') + bytes(16),
        pickle.dumps({"key": "key"}),
        bytes(1000),
    ],
)
def test_a_crafted_file_is_called_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(LabkitError, match="damaged"):
        load_tree(tmp_path / "t")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "loop", tmp_path / "absent"):
        with pytest.raises(LabkitError, match="cannot read"):
            load_tree(path)


def test_flips_of_a_tree_are_noticed(tmp_path: Path) -> None:
    save_tree(tmp_path / "t", {"key": "k", "weights": [torch.randn(5), torch.zeros(2, dtype=torch.int64)]})
    content = (tmp_path / "t").read_bytes()
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        (tmp_path / "t").write_bytes(flipped)
        with pytest.raises(LabkitError):
            load_tree(tmp_path / "t")


def test_what_cannot_be_saved_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match="a set cannot be saved"):
        save_tree(tmp_path / "t", {"a": {1, 2}})
    assert not list(tmp_path.iterdir())

"""Many runs on an engine: each is done once, whoever is killed, and no run takes the cores of another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from click.testing import CliRunner, Result
from conftest import HEADER

from labkit.batch import engines
from labkit.batch.engines import cores
from labkit.batch.jobs import seeds_of, shares
from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import pair
from labkit.commands.main import main
from labkit.lab.provenance import code_hashes

# A run says that it has begun, stops at its gate where the test has put one, and writes a record and a line.
CHAPTER = """# Tiny

```{code-cell}
:tags: [parameters]

profile = "smoke"
seed = 0
epochs = 0
```

```{code-cell}
import json, os, pathlib, time
from labkit.lab.record import Record

root, environment = pathlib.Path(".."), os.environ
(root / f"begun-{seed}-{os.getpid()}").write_text(environment.get("WORKER", "none"))
while (root / f"gate-{seed}").exists():
    time.sleep(0.02)
if seed == 13:
    raise ValueError("thirteen is too many")
code = json.loads((root / "code.json").read_text())
record = Record(
    "t01-tiny",
    profile,
    seed,
    {"epochs": epochs},
    [{"name": "none", "images": 0, "fingerprint": "", "differences": ""}],
    code,
    {"sha": "a" * 40, "clean": True},
    {"python": "3", "torch": "2"},
    {"cpu": "one", "threads": 1},
    rows={"R1": [{"seed": seed}]},
)
record.write(pathlib.Path(environment["LABKIT_RESULTS"]))
line = [seed, *map(environment.get, ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "WORKER"))]
with (root / "done.txt").open("a") as file:
    file.write(" ".join(map(str, line)) + "\\n")
```
"""


@pytest.fixture
def book(tiny: Chapter, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """A book whose one chapter writes a record."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    tiny.source.write_text(HEADER + CHAPTER)
    pair(tiny)
    # What a lab would find out by itself; here no kernel has to import torch.
    (tiny.root / "code.json").write_text(json.dumps(code_hashes(tiny, "laptop")))
    return tiny


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Pythons that do not outlive the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | environment,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


COMMAND = ("-c", "from labkit.commands.main import main; main()", "run", "t01", "--profile", "laptop")


def labkit_run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", "t01", "--profile", "laptop", *arguments])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(book: Chapter, seed: int) -> list[int]:
    """Return the processes that have begun the run."""
    return [int(path.name.split("-")[2]) for path in book.root.glob(f"begun-{seed}-*")]


def done(book: Chapter) -> list[list[str]]:
    """Return seed, threads, waiting and worker of each finished run."""
    path = book.root / "done.txt"
    return sorted(line.split() for line in path.read_text().splitlines()) if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def outcomes(output: str) -> list[list[str]]:
    """Return seed and outcome from the table."""
    rows = [line.split(maxsplit=4) for line in output.splitlines()]
    assert rows[0] == ["chapter", "profile", "seed", "seconds", "outcome"]
    return [[seed, outcome.split(":")[0]] for _, _, seed, _, outcome in rows[1:]]


def test_a_record_of_this_code_is_skipped_and_a_failure_does_not_stop_the_rest(book: Chapter) -> None:
    result = labkit_run("--seeds", "13,0,1")
    assert result.exit_code == 1
    assert outcomes(result.stdout) == [["0", "recorded"], ["1", "recorded"], ["13", "failed"]]
    failed = (
        "cell In [3] of runs/t01-tiny/laptop/seed-13.failed.ipynb failed: ValueError: thirteen is too many"
    )
    assert f"Error: t01-tiny: {failed}\n" in result.stderr
    assert result.stdout.endswith(f"failed: {failed}\n")

    result = labkit_run("--seeds", "0-1")
    assert result.exit_code == 0
    assert outcomes(result.stdout) == [["0", "skipped"], ["1", "skipped"]]
    assert [line[0] for line in done(book)] == ["0", "1"]

    assert labkit_run("--seed", "0", "--force").stdout == (
        "t01-tiny: recorded: results/t01-tiny/laptop/seed-0.json\n"
    )
    record = book.root / "results" / "t01-tiny" / "laptop" / "seed-1.json"
    for old, new in (('"epochs":0', '"epochs":5'), ('"chapter":"', '"chapter":"0'), ("{", "")):
        record.write_text(record.read_text().replace(old, new))
        assert ": recorded: " in labkit_run("--seed", "1").stdout, old
    assert [line[0] for line in done(book)] == ["0", "0", "1", "1", "1", "1"]


def test_runs_side_by_side_divide_the_cores_and_stop_together(
    book: Chapter, started: Callable[..., subprocess.Popen[str]]
) -> None:
    for seed in (0, 1):
        (book.root / f"gate-{seed}").touch()
    process = started(*COMMAND, "--seeds", "0-2", "--jobs", "2", OMP_NUM_THREADS="7")
    until(lambda: begun(book, 0) and begun(book, 1))
    assert not begun(book, 2)
    (book.root / "gate-0").unlink()
    until(lambda: begun(book, 2))
    until(lambda: len(done(book)) == 2)
    share = str(max(1, cores() // 2))
    assert done(book) == [["0", share, "passive", "None"], ["2", share, "passive", "None"]]

    [kernel] = begun(book, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "Stopped; the cells so far are in runs/."
    assert "Traceback" not in errors
    assert not is_alive(kernel)


def test_two_commands_asked_for_one_run_do_it_once(
    book: Chapter, started: Callable[..., subprocess.Popen[str]]
) -> None:
    gate = book.root / "gate-4"
    gate.touch()
    first = started(*COMMAND, "--seed", "4")
    until(lambda: begun(book, 4))
    second = started(*COMMAND, "--seed", "4")
    assert second.stderr
    assert second.stderr.readline() == "t01-tiny: another process has seed 4; waiting for it\n"
    gate.unlink()
    assert first.communicate(timeout=30)[0].startswith("t01-tiny: recorded: ")
    assert second.communicate(timeout=30)[0].startswith("t01-tiny: skipped: ")
    assert len(begun(book, 4)) == 1


def test_a_run_whose_worker_is_killed_is_recorded_once_by_another(
    book: Chapter, started: Callable[..., subprocess.Popen[str]]
) -> None:
    file = book.root / "scheduler.json"
    started("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(file))  # fmt: skip
    workers = {}
    until(file.exists)
    until(file.read_text)
    for name, options in (("a", ["--resources", "GPU=1"]), ("b", ["--resources", "GPU=1"]), ("c", [])):
        workers[name] = started(
            "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--no-nanny",
            "--no-dashboard", "--local-directory", str(book.root / name), "--nthreads", "2", *options,
            WORKER=name, OMP_NUM_THREADS="7",
        )  # fmt: skip
    (book.root / "gate-1").touch()
    address = json.loads(file.read_text())["address"]
    command = started(*COMMAND, "--seeds", "0-2", "--engine", "dask", "--gpus", "1", "--scheduler", address)
    until(lambda: len(done(book)) == 2 and begun(book, 1))
    [kernel] = begun(book, 1)
    until(lambda: (book.root / f"begun-1-{kernel}").read_text())
    holder = (book.root / f"begun-1-{kernel}").read_text()
    workers[holder].kill()
    until(lambda: not is_alive(kernel))
    assert len(done(book)) == 2
    (book.root / "gate-1").unlink()
    output, errors = command.communicate(timeout=40)
    assert command.returncode == 0, errors
    assert outcomes(output) == [["0", "recorded"], ["1", "recorded"], ["2", "recorded"]]
    assert len(begun(book, 1)) == 2
    # A GPU for each run: one at a time on a worker, with all its cores; none where there is no GPU.
    assert [line[:3] for line in done(book)] == [[seed, str(cores()), "None"] for seed in "012"]
    [other] = {"a", "b"} - {holder}
    assert done(book)[1][3] == other
    assert {line[3] for line in done(book)} <= {"a", "b"}


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ([], "--engine dask needs --scheduler tcp://HOST:PORT or DASK_SCHEDULER_ADDRESS"),
        (["--scheduler", "here"], "no dask scheduler answers at 'here' (ValueError: "),
        (["--scheduler", "tcp://127.0.0.1:1"], "no dask scheduler answers at 'tcp://127.0.0.1:1' (OSError: "),
    ],
)
def test_a_scheduler_that_does_not_answer_is_one_line(
    book: Chapter, monkeypatch: pytest.MonkeyPatch, scheduler: list[str], message: str
) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setattr(engines, "PATIENCE", 0.5)
    result = labkit_run("--engine", "dask", *scheduler)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {message}")
    assert result.stderr.count("\n") == 1


def test_without_distributed_the_error_names_what_to_install(
    book: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = labkit_run("--engine", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert result.stderr == "Error: the engine dask needs: pip install 'labkit[cluster]'\n"


def test_the_engines_wait_for_no_heavy_import() -> None:
    heavy = "('torch', 'papermill', 'distributed', 'dask', 'tqdm')"
    imports = "import sys, labkit.commands.main, labkit.batch.engines"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_seeds_and_shares() -> None:
    assert seeds_of(None, None) == [0]
    assert seeds_of(3, None) == [3]
    assert seeds_of(None, "4, 0-2,1") == [4, 0, 1, 2]
    assert shares(16, 4)["OMP_NUM_THREADS"] == shares(16, 4)["MKL_NUM_THREADS"] == "4"
    assert shares(2, 4)["OMP_NUM_THREADS"] == "1"
    assert "OMP_WAIT_POLICY" not in shares(16, 1)

"""Many runs on a dask cluster: each is done once, whoever is killed; the recipe of README.md as it stands."""

from __future__ import annotations

import json
import sys

import pytest
from many_runs import COMMAND, Start, begun, book, done, is_alive, labkit_run, outcomes, started, until

from labkit.batch import cluster
from labkit.batch.jobs import cores
from labkit.lab.chapter import Chapter

__all__ = ["book", "started"]  # fixtures


def test_a_run_whose_worker_is_killed_is_recorded_once_by_another(book: Chapter, started: Start) -> None:
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
    labkit_run("--seed", "1")  # what it keeps is not taken by a run that is forced
    (book.root / "done.txt").unlink()
    [kernel] = begun(book, 1)
    (book.root / f"begun-1-{kernel}").unlink()
    (book.root / "gate-1").touch()
    address = json.loads(file.read_text())["address"]
    command = started(
        *COMMAND, "--seeds", "0-2", "--force", "--engine", "dask", "--gpus", "1", "--scheduler", address
    )
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
    # The other worker went on from what the killed one had kept.
    assert [line[4] for line in done(book)] == ["whole", "resumed", "whole"]


ADDRESS = "a scheduler's address is tcp://HOST:PORT or tls://HOST:PORT"


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ([], "--engine dask needs --scheduler tcp://HOST:PORT or DASK_SCHEDULER_ADDRESS"),
        (["--scheduler", "here"], f"{ADDRESS}, not 'here'"),
        (["--scheduler", "http://"], f"{ADDRESS}, not 'http://'"),
        (["--scheduler", "inproc://x"], f"{ADDRESS}, not 'inproc://x'"),
        (["--scheduler", "tcp://h:p"], f"{ADDRESS}, not 'tcp://h:p'"),
        (
            ["--scheduler", "tls://127.0.0.1:1"],
            "tls://127.0.0.1:1 needs certificates: set DASK_",
        ),
        (["--scheduler", "tcp://127.0.0.1:1"], "no dask scheduler answers at 'tcp://127.0.0.1:1' (OSError: "),
    ],
)
def test_a_scheduler_that_does_not_answer_is_one_line(
    book: Chapter, monkeypatch: pytest.MonkeyPatch, scheduler: list[str], message: str
) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
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

"""Many runs on a dask cluster: each is done once, whoever is killed; the recipe of README.md as it stands."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import dask
import psutil
import pytest
from many_runs import (
    COMMAND,
    LABKIT,
    Start,
    begun,
    book,
    done,
    is_alive,
    labkit_run,
    outcomes,
    started,
    until,
)

from labkit.batch import cluster
from labkit.chapters.chapter import Chapter
from labkit.machine import cores
from labkit.source.files import PACKAGE

__all__ = ["book", "started"]  # fixtures


DASK = (sys.executable, "-m", "dask")
HERE = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")


def scheduler(book: Chapter, started: Start) -> tuple[subprocess.Popen[str], str]:
    """Return a scheduler that has begun, and its address."""
    file = book.root / "scheduler.json"
    process = started(*DASK, "scheduler", *HERE, "--port", "0", "--scheduler-file", str(file))
    until(file.exists)
    until(file.read_text)
    return process, json.loads(file.read_text())["address"]


def worker(book: Chapter, started: Start, address: str, name: str, *options: str) -> subprocess.Popen[str]:
    return started(
        *DASK, "worker", address, *HERE, "--no-nanny", "--local-directory", str(book.root / name),
        "--nthreads", "2", *options, WORKER=name, OMP_NUM_THREADS="7",
    )  # fmt: skip


def test_a_run_whose_worker_is_killed_is_recorded_once_by_another(book: Chapter, started: Start) -> None:
    _, address = scheduler(book, started)
    gpu = ("--resources", "GPU=1")
    workers = {name: worker(book, started, address, name, *gpu) for name in "ab"}
    worker(book, started, address, "c")
    labkit_run("--seed", "1")  # what it keeps is not taken by a run that is forced
    (book.root / "done.txt").unlink()
    [kernel] = begun(book, 1)
    (book.root / f"begun-1-{kernel}").unlink()
    (book.root / "gate-1").touch()
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


def test_a_scheduler_that_is_killed_is_one_line(book: Chapter, started: Start) -> None:
    process, address = scheduler(book, started)
    worker(book, started, address, "a")
    (book.root / "gate-0").touch()
    command = started(*COMMAND, "--engine", "dask", "--scheduler", address)
    until(lambda: begun(book, 0))
    process.kill()
    output, errors = command.communicate(timeout=40)
    assert (command.returncode, output) == (1, "")
    assert errors.splitlines()[-1] == f"Error: t01-tiny: seed 0 lost {address}"
    assert "Traceback" not in errors


def recipe(protocol: str, port: str) -> tuple[str, list[str]]:
    """Return what README.md has for a cluster: what every shell begins with, and scheduler, worker and run.

    Changed are the place of the programs, what is run, and the ports, which may be taken here.
    """
    blocks = (PACKAGE.parent / "README.md").read_text(encoding="utf-8").split("```\n")
    [block] = [block for block in blocks if f"dask worker {protocol}://" in block]
    for old, new in (
        ("\\\n", ""),
        (".venv/bin/dask", f"{sys.executable} -m dask"),
        (".venv/bin/labkit", shlex.join(LABKIT)),
        ("127.0.0.1:8787", f"127.0.0.1:0 --port {port}"),
        ("8786", port),
        ("all --profile full", "t01 --profile laptop"),
    ):
        assert old in block
        block = block.replace(old, new)
    *preparation, scheduler, worker, run = block.splitlines()
    return "\n".join(preparation), [scheduler, worker, run]


def places(process: subprocess.Popen[str]) -> set[str]:
    """Return the addresses that the process, or one it has started, listens at."""
    root = psutil.Process(process.pid)
    return {
        connection.laddr.ip
        for each in [root, *root.children(recursive=True)]
        for connection in each.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_the_recipe_of_the_readme_runs_and_opens_no_port_to_others(
    book: Chapter, started: Start, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("HOME", str(book.root))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    preparation, programs = recipe(protocol, port)
    # The certificate is made once.
    exports = "\n".join(line for line in preparation.splitlines() if line.startswith("export "))
    subprocess.run(["bash", "-ec", preparation], check=True, stderr=subprocess.DEVNULL)
    scheduler, worker, run = (("bash", "-ec", f"{exports}\nexec {program}") for program in programs)
    servers = [started(*scheduler), *(started(*worker, WORKER=name) for name in "ab")]
    command = started(*run)
    output, errors = command.communicate(timeout=60)
    assert command.returncode == 0, errors
    assert outcomes(output) == [["0", "recorded"], ["1", "recorded"], ["2", "recorded"]]
    assert [places(server) for server in servers] == [{"127.0.0.1"}] * 3
    if protocol == "tls":  # nobody without the certificate gets in
        monkeypatch.setattr(cluster, "PATIENCE", 2)
        result = labkit_run("--engine", "dask", "--scheduler", f"tcp://127.0.0.1:{port}")
        assert result.stderr.startswith("Error: no dask scheduler answers at ")
        assert result.stderr.count("\n") == 1
    for server in reversed(servers):
        server.terminate()
        server.wait(timeout=20)


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


def test_a_web_server_in_the_place_of_a_scheduler_is_one_line(
    book: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    monkeypatch.setattr(BaseHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever).start()
        address = f"tcp://127.0.0.1:{server.server_port}"
        result = labkit_run("--engine", "dask", "--scheduler", address)
        server.shutdown()
    assert result.stderr == f"Error: no dask scheduler answers at {address!r} (TimeoutError)\n"


def test_certificates_that_are_not_there_are_one_line(book: Chapter) -> None:
    tls = {"distributed.comm.tls.ca-file": "none.pem", "distributed.comm.tls.client.cert": "none.pem"}
    with dask.config.set(tls):
        result = labkit_run("--engine", "dask", "--scheduler", "tls://127.0.0.1:1")
    assert result.stderr.startswith("Error: the certificates dask is configured to use: [Errno 2] No such")
    assert result.stderr.count("\n") == 1


def test_without_distributed_the_error_names_what_to_install(
    book: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = labkit_run("--engine", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert result.stderr == "Error: the engine dask needs: pip install 'labkit[cluster]'\n"

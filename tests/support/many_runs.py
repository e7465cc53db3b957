"""A book whose chapter records, slowly enough to be killed, and how its runs are started and watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from click.testing import CliRunner, Result
from trial import PARAMETERS, cell, write_book

from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import pair
from labkit.commands.main import main
from labkit.lab.provenance import code_hashes

# A run says that it has begun, stops at its gate where the test has put one, and writes a record and a line.
# What it keeps to go on from lies where a lab's checkpoints do.
RUN = """
import json, os, pathlib, time
from labkit.lab.record import Record

root, environment = pathlib.Path(".."), os.environ
checkpoint = root / "runs" / "t01-tiny" / profile / f"seed-{seed}" / "training.safetensors"
resumed = "resumed" if checkpoint.exists() else "whole"
checkpoint.parent.mkdir(parents=True, exist_ok=True)
checkpoint.touch()
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
line = [seed, *map(environment.get, ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "WORKER")), resumed]
with (root / "done.txt").open("a") as file:
    file.write(" ".join(map(str, line)) + "\\n")
"""
LABKIT = (sys.executable, "-c", "from labkit.commands.main import main; main()")
COMMAND = (*LABKIT, "run", "t01", "--profile", "laptop")


@pytest.fixture
def book(tiny: Chapter, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """A book whose one chapter writes a record."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    write_book(tiny.root, PARAMETERS, cell(RUN), slug=tiny.slug, title="Tiny")
    pair(tiny)
    # What a lab would find out by itself; here no kernel has to import torch.
    (tiny.root / "code.json").write_text(json.dumps(code_hashes(tiny, "laptop")))
    return tiny


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started() -> Iterator[Start]:
    """Start processes that do not outlive the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                arguments,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | environment,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def labkit_run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", "t01", "--profile", "laptop", *arguments])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(book: Chapter, seed: int) -> list[int]:
    """Return the processes that have begun the run."""
    return [int(path.name.split("-")[2]) for path in book.root.glob(f"begun-{seed}-*")]


def done(book: Chapter) -> list[list[str]]:
    """Return seed, threads, waiting, worker and beginning of each finished run."""
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

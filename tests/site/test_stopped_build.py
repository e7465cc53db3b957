"""A build that is stopped in the middle of a cell leaves no process, and no site that nobody has checked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ran import NEEDS_CORES
from tiny_book import build, executed, write_book

from labkit.machine import cores
from labkit.site.engine import alone

pytestmark = pytest.mark.slow

AWAKE = 'def word():\n    return "teal"\n'
ASLEEP = """import pathlib, subprocess, time

def word():
    subprocess.Popen(["sleep", "1000"])
    pathlib.Path(__name__).touch()
    time.sleep(1000)
"""
# What the command line of each process of a build ends with, or has in it.
BUILDER, ENGINE, KERNEL = r"-m\0labkit\0book\0$", r"-m\0labkit\.site\.engine\0", "ipykernel"


def processes(root: Path) -> dict[int, str]:
    """Return the command line of each process that was started for the book at `root`."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PYTHONPATH={root}\0".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:  # ended just now
            continue
    return found


def find(root: Path, pattern: str) -> int:
    """Return the one process of the book at `root` whose command line matches."""
    [pid] = [pid for pid, command in processes(root).items() if re.search(pattern, command)]
    return pid


def wait_until(true: Callable[[], object], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


def started(book: Path, *asleep: str) -> subprocess.Popen[str]:
    """Start a build and return it once the chapters that use the modules `asleep` are at work."""
    flags = [book / "book" / f"labkit.{name}" for name in asleep]
    for flag in flags:
        flag.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "labkit", "book"],
        cwd=book,
        env=os.environ | {"PYTHONPATH": str(book)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: all(flag.exists() for flag in flags), 60)
    return process


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("book")
    write_book(root)
    code, output = build(root)
    assert code == 0, output
    return root


@pytest.fixture(autouse=True)
def nothing_is_left(book: Path) -> Iterator[None]:
    yield
    for pid in processes(book):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("victim", "by", "said"),
    [
        (BUILDER, signal.SIGKILL, r""),
        (BUILDER, signal.SIGTERM, r"Aborted!"),
        (BUILDER, signal.SIGINT, r"Aborted!"),
        (ENGINE, signal.SIGKILL, r"Error: jupyter-book was killed by signal 9, perhaps for want of memory"),
        (KERNEL, signal.SIGKILL, r"Error: Failing cell: c2-blue, code cell 1 of 2: the kernel died"),
    ],
    ids=["builder-kill", "builder-term", "builder-int", "engine-kill", "kernel-kill"],
)
def test_who_stops_a_build(book: Path, victim: str, by: signal.Signals, said: str) -> None:
    (book / "labkit/blue.py").write_text(ASLEEP)
    process = started(book, "blue")
    assert not (book / "_build/html").exists()
    pids = {pattern: find(book, pattern) for pattern in (BUILDER, ENGINE, KERNEL)}
    # Another build waits for all who write into the folder; a kernel does not.
    lock = str(book / "_build/lock")
    holders = [lock in map(os.readlink, Path(f"/proc/{pid}/fd").iterdir()) for pid in pids.values()]
    assert holders == [True, True, False]
    os.kill(pids[victim], by)
    output = process.communicate(timeout=30)[0]
    if said == "Aborted!":
        assert not [command for command in processes(book).values() if re.search(ENGINE, command)]
    # What a cell has started ends with a kernel that is shut down, not with one that is killed.
    for pid, command in processes(book).items():
        if victim in (ENGINE, KERNEL) and command.startswith("sleep"):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes(book), 15)
    assert process.returncode
    assert re.search(said, output), output
    assert not (book / "_build/html").exists()


@pytest.mark.skipif(cores() < 2, reason=NEEDS_CORES)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_chapters_are_executed_side_by_side_and_stopped_together(book: Path, by: signal.Signals) -> None:
    for name in ("red", "blue"):
        (book / f"labkit/{name}.py").write_text(ASLEEP)
    process = started(book, "red", "blue")  # both at once: neither comes to an end
    process.send_signal(by)
    process.communicate(timeout=30)
    wait_until(lambda: not processes(book), 15)
    assert not (book / "_build/html").exists()
    (book / "labkit/red.py").write_text(AWAKE)


def test_the_next_build_is_right(book: Path) -> None:
    (book / "labkit/blue.py").write_text(AWAKE)
    code, output = build(book)
    assert code == 0, output
    assert "the word is teal" in (book / "_build/html/book/c2-blue.html").read_text()
    assert executed(output) == ["c1-red", "c2-blue"]


def test_another_build_waits_until_no_process_of_the_first_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone(tmp_path) as lock:
        process, started = subprocess.Popen(["sleep", "1"], pass_fds=[lock]), time.monotonic()
        assert capsys.readouterr().out == ""
    with alone(tmp_path):
        assert time.monotonic() - started > 0.9
    assert process.wait(timeout=5) == 0
    assert capsys.readouterr().out == f"another build is at work in {tmp_path}: waiting for it\n"

"""Bad calls of the command line, made up by the hundred: each ends in one line, and nothing runs."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from labkit.batch import cluster, runner
from labkit.chapters.chapter import Chapter
from labkit.commands.main import main

CALLS = 250
UNSEEN = ["\0", "\a", "\t", "\n", "\r", "\x1b[31m", "\x7f", "\x9b", "\u200b", "\u202e", "\udcff"]


def letters(rng: random.Random) -> str:
    """Return a word that is no chapter, option, profile or number: short, long, with what cannot be seen."""
    alphabet = rng.choice([string.ascii_letters, string.punctuation, string.printable, "éßλ中🙂 '\"{}%\\"])
    word = "".join(rng.choices(alphabet, k=rng.choice([1, 5, 20, 400, 501, 5_000, 100_000])))
    where = rng.randrange(len(word) + 1)
    return f"x{word[:where]}{rng.choice(['', '', *UNSEEN])}{word[where:]}"


def number(rng: random.Random) -> str:
    """Return a number that nothing here takes, or something like one."""
    digits = "9" * rng.choice([20, 300, 4_299, 4_301])
    return rng.choice([f"-{rng.randrange(1, 99)}", digits, f"-{digits}", "1.5", "1e3", "nan", "0x1f", ""])


def out_of_range(rng: random.Random) -> str:
    huge = [str(2**63), str(2**64), "9" * 300, "-1", str(-(2**63))]
    return rng.choice([f"epochs={rng.choice(huge)}", f"rate={rng.choice(['nan', 'inf', '-inf', '1e999'])}"])


def seeds(rng: random.Random) -> str:
    low = rng.randrange(10**8)
    many = ",".join(map(str, rng.choices(range(9), k=rng.choice([3, 2_000]))))
    wrong = [f"{low}-{low + 1_001}", f"{low + 1}-{low}", f"{many},", f"{many},x", "--", "1-2-3", "-5", "²"]
    return rng.choice(["0-999999999", *wrong])


def address(rng: random.Random) -> str:
    host = rng.choice(["", "h", "127.0.0.1", "[::1]", "a b"])
    scheme = rng.choice(["", "tcp", "http", "https", "inproc", "ucx", "ws", "file", "TCP"])
    return f"{scheme}://{host}{rng.choice(['', ':', ':p', ':-1', ':8786/', ':123456'])}"


DASK = ("run", "t01", "--engine", "dask")
BAD: dict[str, Callable[[random.Random], list[str]]] = {
    "no chapter": lambda rng: ["run"],
    "chapter": lambda rng: ["run", letters(rng)],
    "one of two chapters": lambda rng: ["run", "t01", letters(rng)],
    "profile": lambda rng: ["run", "t01", "--profile", letters(rng)],
    "parameter": lambda rng: ["run", "t01", "-p", f"{letters(rng)}={rng.randrange(9)}"],
    "no value": lambda rng: ["run", "t01", "-p", rng.choice(["epochs", "", "=", "profile=smoke", "seed=1"])],
    "type": lambda rng: ["run", "t01", "-p", f"{rng.choice(['epochs', 'rate', 'fast'])}={letters(rng)}"],
    "number": lambda rng: ["run", "t01", "-p", f"epochs={number(rng)}"],
    "range": lambda rng: ["run", "t01", "-p", out_of_range(rng)],
    "seed": lambda rng: ["run", "t01", "--seed", rng.choice([number, letters])(rng)],
    "seeds": lambda rng: ["run", "t01", "--seeds", rng.choice([seeds, letters])(rng)],
    "seed and seeds": lambda rng: ["run", "t01", "--seed", "1", "--seeds", "1-2"],
    "engine": lambda rng: ["run", "t01", "--engine", letters(rng)],
    "scheduler": lambda rng: [*DASK, "--scheduler", rng.choice([address, letters])(rng)],
    "nobody there": lambda rng: [*DASK, "--scheduler", "tcp://127.0.0.1:1"],
    "no certificates": lambda rng: [*DASK, "--scheduler", "tls://127.0.0.1:1"],
    "GPUs": lambda rng: [*DASK, "--gpus", number(rng)],
    "jobs": lambda rng: ["run", "t01", "--jobs", rng.choice([number(rng), "0", "1001"])],
    "options of two engines": lambda rng: [
        "run", "t01", "--engine", *rng.choice([["dask", "--jobs", "2"], ["local", "--gpus", "1"],
        ["local", "--scheduler", "tcp://h:1"], ["dask", "--verbose"], ["local", "--jobs", "2", "--verbose"]]),
    ],
    "option": lambda rng: [*rng.choice([[], ["run"], ["list"], ["pair"], ["verify"]]), f"--{letters(rng)}"],
    "option without value": lambda rng: ["run", "t01", rng.choice(["--seed", "--seeds", "-p", "--profile"])],
    "command": lambda rng: [letters(rng)],
    "pair": lambda rng: ["pair", rng.choice(["--from-notebook", letters(rng)])],
    "check": lambda rng: ["pair", "--check", rng.choice(["--from-notebook", letters(rng)]), "t01"],
    "verify": lambda rng: ["verify", letters(rng)],
    "list": lambda rng: ["list", letters(rng)],
    "data": lambda rng: ["data", *rng.choice([["show"], ["fetch"], [letters(rng)], ["show", letters(rng)]])],
}  # fmt: skip


@pytest.fixture
def nothing_runs(paired: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(*_: Any, **__: Any) -> None:
        raise AssertionError("a cell would have run")

    monkeypatch.setattr(runner.papermill, "execute_notebook", execute)
    monkeypatch.setattr(cluster, "PATIENCE", 0.1)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setenv("LABKIT_DATA", str(paired.root / "data"))


def faults(arguments: list[str]) -> list[str]:
    """Return what is wrong with the end of a bad call: nothing where it is one line and an exit code."""
    result = CliRunner().invoke(main, arguments, prog_name="labkit")
    found = []
    if not isinstance(result.exception, SystemExit):
        found.append(f"raised {result.exception!r}")
    if result.exit_code not in (1, 2):
        found.append(f"exit code {result.exit_code}")
    *before, last = result.output.splitlines() or [""]
    if not re.fullmatch(r"Error: .{5,}", last):
        found.append(f"the last line is {last[:100]!r}")
    if any(line and not line.startswith(("Usage: labkit", "Try 'labkit")) for line in before):
        found.append(f"there are other lines, such as {before[0]!r}")
    if len(last) >= 1_000:
        found.append(f"the line has {len(last)} characters")
    if not last.isprintable():
        found.append("the line has characters that cannot be seen")
    return found


@pytest.mark.usefixtures("nothing_runs")
def test_bad_calls_end_in_one_line(paired: Chapter) -> None:
    rng = random.Random(0)
    kinds = [*BAD, *rng.choices(list(BAD), k=CALLS - len(BAD))]
    found = {}
    for number, kind in enumerate(kinds):
        arguments = BAD[kind](rng)
        if wrong := faults(arguments):
            found[number, kind, repr(arguments)[:200]] = wrong
    assert found == {}
    assert not (paired.root / "runs").exists()


@pytest.mark.usefixtures("nothing_runs")
def test_what_is_looked_for_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(["run", "t01"]) == ["there are other lines, such as 'Traceback (most recent call last):'"]
    assert faults(["list"])[0].startswith("raised None")

    def fall(*_: Any, **__: Any) -> None:
        raise KeyError("p99")

    monkeypatch.setattr("labkit.chapters.chapter.find_chapter", fall)
    assert faults(["run", "p99"])[0] == "raised KeyError('p99')"

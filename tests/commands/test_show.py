"""Recorded rows in the terminal: means over seeds, differences of two runs; a full run that asks first."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from labkit.chapters.chapter import Chapter
from labkit.commands.main import main
from labkit.lab.record import Record, Row


def command(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, arguments, **options)


def write(chapter: Chapter, where: str, seed: int, rows: dict[str, list[Row]], **fields: Any) -> None:
    """Write a record of seed `seed` to the folder `where` of the book."""
    profile = where.split("/")[2]
    record = Record(
        chapter=chapter.slug,
        profile=profile,
        seed=seed,
        rows=rows,
        hardware={"cpu": "a CPU", "threads": 2},
        commit={"sha": "abcdef0123456", "clean": True},
        seconds=60.0 * (seed + 1),
        **fields,
    )
    path = record.write(chapter.root / "scratch")
    target = chapter.root / where / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def accuracy(first: float, second: float, arm: str = "a") -> dict[str, list[Row]]:
    return {"R1": [{"arm": arm, "test": first, "n": 5}, {"arm": "b", "test": second, "n": 5}]}


def test_a_chapter_shows_the_means_over_its_seeds_and_what_they_are_of(paired: Chapter) -> None:
    write(paired, "results/t01-tiny/laptop", 0, accuracy(0.5, 0.6), parameters={"epochs": 0})
    write(paired, "results/t01-tiny/laptop", 1, accuracy(0.7, 0.61), parameters={"epochs": 0})
    write(paired, "runs/t01-tiny/smoke", 0, accuracy(0.1, 0.1))
    head = "epochs=0 · commit abcdef01 · a CPU, 2 threads, float32"
    assert command("show", "t01").output.splitlines() == [
        f"t01-tiny laptop, seeds 0, 1 · {head} · 1.5 minutes a seed",
        "",
        "R1 (means over 2 seeds, 2 rows)",
        "arm  test   n",
        "a    0.6    5",
        "b    0.605  5",
    ]
    one = command("show", "t01", "--profile", "laptop", "--seed", "1").output
    assert one.startswith(f"t01-tiny laptop, seed 1 · {head} · 2.0 minutes a seed\n\nR1 (seed 1, 2 rows)\n")
    assert "0.1" in command("show", "t01", "--profile", "smoke").output
    assert "0.61" in command("show", "results/t01-tiny/laptop/seed-1.json").output


def test_rows_that_differ_between_seeds_are_those_of_one(paired: Chapter) -> None:
    write(paired, "results/t01-tiny/full", 0, accuracy(0.5, 0.6))
    write(paired, "results/t01-tiny/full", 3, accuracy(0.7, 0.61, arm="c") | {"R2": [{"x": None}]})
    told = command("show", "t01").output
    assert "R1 (seed 0, 2 rows)\narm  test  n\na    0.5   5\n" in told
    assert "R2 (seed 3, 1 rows)" in told


def test_long_tables_are_cut_unless_all_is_asked_for(paired: Chapter) -> None:
    write(paired, "results/t01-tiny/full", 0, {"R1": [{"x": x} for x in range(100)], "R2": [{"y": 1}]})
    assert command("show", "t01", "--table", "R1").output.splitlines()[-2:] == ["7", "… 92 more"]
    assert command("show", "t01", "--table", "R1", "--all").output.splitlines()[-1] == "99"
    assert command("show", "t01", "--table", "R3").output == "Error: no table 'R3'; there are: R1, R2\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t01"], "no record of t01; `labkit list` says which there are"),
        (["t01", "--profile", "full", "--seed", "7"], "no record of t01 full seed 7; `labkit list`"),
        (["t01", "--profile", "huge"], "unknown profile 'huge'"),
        (["t99"], "unknown chapter 't99'"),
        (["book/t01-tiny.md"], "book/t01-tiny.md is not a record"),
    ],
)
def test_what_is_not_there_is_one_line(paired: Chapter, arguments: list[str], message: str) -> None:
    result = command("show", *arguments)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {message}")
    assert result.output.count("\n") == 1


def test_two_trials_are_compared_over_their_seeds(paired: Chapter) -> None:
    trials = [f"runs/t01-tiny/laptop/epochs={epochs}" for epochs in (2, 3)]
    for seed in (0, 1):
        write(paired, trials[0], seed, accuracy(0.5, 0.6) | {"R2": [{"x": 1}], "R3": [{"x": 1}]})
        write(paired, trials[1], seed, accuracy(0.5 + seed / 10, 0.6) | {"R2": [{"x": 1}], "R4": []})
    result = command("compare", *trials)
    assert result.output.splitlines()[2:] == [
        "",
        "R1: second minus first",
        "arm  test   n",
        "a    +0.05  5",
        "",
        "R2: the same",
        "",
        "R3: only in the first",
        "",
        "R4: only in the second",
    ]
    write(paired, trials[1], 0, accuracy(0.5, 0.6, arm="z"))
    assert "R1: other rows: 2 and 2" in command("compare", *trials).output


@pytest.mark.parametrize("answer", ["", "--yes"])
def test_a_full_run_without_a_gpu_says_what_it_takes_and_waits_for_a_word(
    paired: Chapter, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = command("run", "t01", "--profile", "full", *filter(None, [answer]))
    if answer:
        assert result.exit_code == 0
        return
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "no GPU here: each seed of t01 takes a time that `labkit rehearse t01` would tell",
        "Error: nothing was run; --yes runs it",
    ]
    assert not (paired.root / "runs").exists()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert command("run", "t01", "--profile", "full").exit_code == 0

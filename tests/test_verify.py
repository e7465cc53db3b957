"""`labkit verify`: whole records pass, and each kind of damage is one line that names the file."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import HEADER

from labkit.batch.verify_command import verify
from labkit.lab.chapter import Chapter
from labkit.lab.provenance import code_hashes

CHAPTER = """# A trial

```{code-cell}
:tags: [parameters]

profile = "smoke"
seed = 0
epochs = 0
```

```{code-cell}
from labkit.measure.intervals import mean_interval
```
"""
FOLDER = "results/p00-trial/laptop"


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def content_of(book: Path, seed: int) -> dict[str, Any]:
    picture = hashlib.sha256(b"a picture").hexdigest()[:16]
    return {
        "schema": 1,
        "chapter": "p00-trial",
        "profile": "laptop",
        "seed": seed,
        "parameters": {"epochs": 0},
        "data": [{"name": "shapes", "images": 9, "fingerprint": "abc", "differences": ""}],
        "code": code_hashes(Chapter("p00-trial", book), "laptop"),
        "commit": {"sha": git(book, "rev-parse", "HEAD"), "clean": True},
        "versions": {"python": "3.11", "torch": "2.13"},
        "hardware": {"cpu": "a processor", "threads": 2},
        "precision": "float32",
        "seconds": 60.5,
        "peak_memory_mb": 100,
        "rows": {"R1": [{"x": 1}]},
        "numbers": [{"row": "R1", "name": "accuracy", "value": 0.5, "unit": "%", "paper": ""}],
        "claims": [{"row": "R1", "text": "A beats B", "effect": 0.1, "unit": "points", "paper": ""}],
        "sheets": {"R1": f"seed-{seed}-R1.png {picture}"},
    }


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one chapter with the records of seeds 0 and 1, all as it should be."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book/p00-trial.md").write_text(HEADER + CHAPTER)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n- file: book/p00-trial\n"
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    monkeypatch.chdir(tmp_path)
    (tmp_path / FOLDER).mkdir(parents=True)
    for seed in (0, 1):
        (tmp_path / FOLDER / f"seed-{seed}.json").write_text(json.dumps(content_of(tmp_path, seed)))
        (tmp_path / FOLDER / f"seed-{seed}-R1.png").write_bytes(b"a picture")
    return tmp_path


def called(*arguments: str) -> Result:
    return CliRunner().invoke(verify, arguments)


def change(book: Path, field: str, value: Any, seed: int = 1) -> None:
    path = book / FOLDER / f"seed-{seed}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))


@pytest.mark.parametrize("names", [(), ("p00",), ("p00", "p00-trial")])
def test_whole_records_pass(book: Path, names: tuple[str, ...]) -> None:
    result = called(*names, "--strict")
    assert (result.exit_code, result.output) == (0, "p00 laptop: seeds 0, 1; fresh\n")


def test_a_chapter_without_records_passes(book: Path) -> None:
    (book / "results").rename(book / "elsewhere")
    assert (called().exit_code, called().output) == (0, "p00: nothing is recorded\n")


def test_changed_code_makes_records_stale_and_only_strictly_is_that_an_error(book: Path) -> None:
    source = book / "book/p00-trial.md"
    source.write_text(source.read_text().replace("epochs = 0", "epochs = 5"))
    change(book, "code", content_of(book, 1)["code"] | {"labkit.measure.intervals": "0"})
    result = called()
    said = "p00 laptop: seeds 0, 1; stale: chapter, labkit.measure.intervals changed\n"
    # Nor are the parameters held against a record of another chapter: seed 0 is not said to be a trial.
    assert "seed-0.json" not in result.output
    assert said.removesuffix("\n") in result.output
    change(book, "code", json.loads((book / FOLDER / "seed-0.json").read_text())["code"])
    assert (called().exit_code, called().output) == (0, "p00 laptop: seeds 0, 1; stale: chapter changed\n")
    assert called("--strict").exit_code == 1


def test_code_that_came_or_went_makes_stale_too(book: Path) -> None:
    for seed in (0, 1):
        change(book, "code", content_of(book, seed)["code"] | {"labkit.gone": "0"}, seed)
    assert called().output == "p00 laptop: seeds 0, 1; stale: labkit.gone changed\n"


CHANGES: dict[str, tuple[str, Any, str]] = {
    "schema": ("schema", 2, "is not a record: written by another version"),
    "unknown field": ("surplus", 1, "is not a record"),
    "type": ("rows", 5, "is not a record: its rows cannot be read"),
    "entry": ("code", {"chapter": 1}, "is not a record: its code cannot be read"),
    "claim": (
        "claims",
        [{"row": "R1", "text": "A", "effect": None, "unit": "", "paper": ""}],
        "is not a record: its claims cannot be read",
    ),
    "not a number": ("seconds", float("nan"), "is not a record: its seconds cannot be read"),
    "quoted": ("versions", {"python": "3"}, "is not a record: its versions lacks torch"),
    "seed": ("seed", 2, "holds p00-trial, laptop, seed 2"),
    "profile": ("profile", "full", "holds p00-trial, full, seed 1"),
    "chapter": ("chapter", "p01-other", "holds p01-other, laptop, seed 1"),
    "trial": ("parameters", {"epochs": 3}, "is a trial: its parameters are {'epochs': 3}"),
    "unclean": ("commit", {"sha": "a" * 40, "clean": False}, "was made while the code was not as committed"),
    "no commit": ("commit", {}, "names no commit"),
    "unknown commit": ("commit", {"sha": "a" * 40, "clean": True}, "names commit aaaaaaaa, which this repos"),
    "data": (
        "data",
        [{"name": "shapes", "images": 9, "fingerprint": "abd", "differences": ""}],
        "its data are not those of seed 0",
    ),
    "fewer claims": ("claims", [], "its claims are not those of seed 0"),
    "fewer numbers": ("numbers", [], "its numbers are not those of seed 0"),
    "size": ("rows", {"R1": [{"x": "long" * 50_000}]}, "bytes, more than 200000"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_record_is_one_line_that_names_it(book: Path, name: str) -> None:
    field, value, said = CHANGES[name]
    change(book, field, value)
    result = called()
    assert result.exit_code == 1
    first, last = result.output.splitlines()
    assert first.startswith(f"{FOLDER}/seed-1.json: ")
    assert said in first
    assert last.endswith("damaged, see above")


def test_the_same_claim_twice_is_a_fault(book: Path) -> None:
    change(book, "claims", content_of(book, 1)["claims"] * 2)
    assert f"{FOLDER}/seed-1.json: makes the same claim twice\n" in called().output


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (
        lambda folder: (folder / "seed-1.json").write_text('{"schema":1,'),
        "seed-1.json: is not a record",
    ),
    "binary": (
        lambda folder: (folder / "seed-1.json").write_bytes(b"\xff\xfe"),
        "seed-1.json: is not a reco",
    ),
    "nested": (lambda folder: (folder / "seed-1.json").write_text("[" * 100_000), "seed-1.json: "),
    "altered": (
        lambda folder: (folder / "seed-1-R1.png").write_bytes(b"another"),
        "seed-1-R1.png: is not the picture its record names",
    ),
    "large": (
        lambda folder: (folder / "seed-1-R1.png").write_bytes(bytes(150_001)),
        "seed-1-R1.png: has 150001 bytes",
    ),
    "lost": (
        lambda folder: (folder / "seed-1-R1.png").unlink(),
        "seed-1-R1.png: is named by its record and m",
    ),
    "left over": (
        lambda folder: (folder / "seed-7-R1.png").write_bytes(b""),
        "seed-7-R1.png: is neither a record nor a picture",
    ),
    "executed": (
        lambda folder: (folder / "seed-1.ipynb").write_text("{}"),
        "seed-1.ipynb: is neither a record nor a picture",
    ),
    "odd name": (lambda folder: (folder / "seed-01.json").write_text("{}"), "seed-01.json: is neither"),
    "smoke": (lambda folder: (folder.parent / "smoke").mkdir(), "p00-trial/smoke: is not a folder named"),
    "chapter": (
        lambda folder: (folder.parent.parent / "p99-gone").mkdir(),
        "results/p99-gone: no chapter of the book has this name",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_in_the_folder_is_named(book: Path, name: str) -> None:
    damage, said = DAMAGES[name]
    damage(book / FOLDER)
    result = called()
    assert result.exit_code == 1
    assert [said in line for line in result.output.splitlines()].count(True) == 1


def test_a_picture_elsewhere_is_not_followed(book: Path) -> None:
    change(book, "sheets", {"R1": "../../../book/p00-trial.md 0"})
    assert "is named by its record and missing" in called().output


def test_an_unknown_chapter_is_one_line(book: Path) -> None:
    result = called("p99")
    assert (result.exit_code, result.output) == (
        1,
        "Error: unknown chapter 'p99'; the book has: p00-trial\n",
    )


def test_outside_of_git_commits_are_not_looked_up(book: Path) -> None:
    change(book, "commit", {"sha": "a" * 40, "clean": True})
    (book / ".git").rename(book / "no-git")
    assert called().exit_code == 0

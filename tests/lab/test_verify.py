"""`labkit verify`: whole records pass, and each kind of damage is one line that names the file."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from trial import commit_with_package, git, recorded, rows, write_book

from labkit.batch.jobs import _is_current
from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import pair
from labkit.commands.records import verify
from labkit.errors import LabkitError
from labkit.lab import provenance
from labkit.lab.record import sealed, unsealed
from labkit.lab.rehash import rehash
from labkit.source.files import snapshot

FOLDER = "results/p00-trial/laptop"


PICTURE = hashlib.sha256(b"a picture").hexdigest()[:16]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one chapter with the records of seeds 0 and 1, all as it should be."""
    chapter = write_book(tmp_path)
    commit_with_package(tmp_path)
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        tables = {"R1": rows(0.5, 0.6 + seed / 100), "R2": [{"z": "text"}]}
        record = recorded(chapter, seed, rows=tables, sheets={"R1": f"seed-{seed}-R1.png {PICTURE}"})
        record.write(tmp_path / "results")
        (tmp_path / FOLDER / f"seed-{seed}-R1.png").write_bytes(b"a picture")
    return tmp_path


def called(*arguments: str) -> Result:
    return CliRunner().invoke(verify, arguments)


def change(book: Path, field: str, value: Any, seed: int = 1) -> None:
    """Change a field of a record and seal it again, as whoever knows how might do."""
    path = book / FOLDER / f"seed-{seed}.json"
    path.write_text(sealed(unsealed(path) | {field: value}))


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
    # The defaults belong to the chapter: its old records are stale, not trials.
    assert (called().exit_code, called().output) == (0, "p00 laptop: seeds 0, 1; stale: experiment changed\n")
    assert called("--strict").exit_code == 1


def test_a_changed_definition_of_labkit_makes_stale_and_is_named(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = snapshot()
    changed = files["labkit/measure/intervals.py"].replace("0.95", "0.9").replace("0.975", "0.95")
    assert changed != files["labkit/measure/intervals.py"]
    monkeypatch.setattr(provenance, "snapshot", lambda: files | {"labkit/measure/intervals.py": changed})
    assert called().output == "p00 laptop: seeds 0, 1; stale: measure.intervals.mean_interval changed\n"


CHANGES: dict[str, tuple[str, Any, str]] = {
    "schema": ("schema", 2, "is not a record: written by another version"),
    "unknown field": ("surplus", 1, "is not a record"),
    "type": ("rows", 5, "is not a record: its rows cannot be read"),
    "entry": ("code", {"chapter": 1}, "is not a record: its code cannot be read"),
    "claim": ("claims", [None], "is not a record: its claims cannot be read"),
    "table's name": ("timed", [1], "is not a record: its timed cannot be read"),
    "no tables": ("rows", {}, "has no table"),
    "an empty table": ("rows", {"R1": []}, "has a table without rows"),
    "fewer tables": ("rows", {"R1": rows(0.5, 0.7)}, "its tables are not those of seed 0"),
    "rows of another seed": (
        "rows",
        {"R1": rows(0.5, 0.6), "R2": [{"z": "text"}]},
        "its rows are those of seed 0",
    ),
    "a row that a claim is about": (
        "rows",
        {"R1": rows(0.5, 0.7)[:1], "R2": [{"z": "text"}]},
        "cannot be judged: B beats A: table R1 has no row with arm = B",
    ),
    "a number that is quoted": (
        "rows",
        {"R1": rows(0.5, 0.7)[1:], "R2": [{"z": "text"}]},
        "cannot be judged: accuracy of A: table R1 has no row with arm = A",
    ),
    "fewer pictures": ("sheets", {}, "its pictures are not those of seed 0"),
    "code": ("code", {"experiment": "0123456789abcdef"}, "was not made by the code of commit"),
    "quoted": ("versions", {"python": "3"}, "is not a record: its versions lacks torch"),
    "seed": ("seed", 2, "holds p00-trial, laptop, seed 2"),
    "profile": ("profile", "full", "holds p00-trial, full, seed 1"),
    "chapter": ("chapter", "p01-other", "holds p01-other, laptop, seed 1"),
    "trial": ("parameters", {"epochs": 3}, "is a trial: its parameters are {'epochs': 3}"),
    "unclean": ("commit", {"sha": "a" * 40, "clean": False}, "was made while the code was not as committed"),
    "no commit": ("commit", {}, "names no commit"),
    "unknown commit": (
        "commit",
        {"sha": "a" * 40, "clean": True},
        "commit aaaaaaaa is not in this",
    ),
    "data": (
        "data",
        [{"name": "shapes", "images": 9_000, "fingerprint": "abd", "differences": ""}],
        "its data are not those of seed 0",
    ),
    "fewer claims": ("claims", [], "its claims are not those of seed 0"),
    "size": ("rows", {"R1": [{"x": "long" * 50_000}], "R2": [{}]}, "bytes, more than 200000"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_record_is_one_line_that_names_it(book: Path, name: str) -> None:
    field, value, said = CHANGES[name]
    change(book, field, value)
    result = called()
    assert result.exit_code == 1
    *faults, last = result.output.splitlines()
    assert all(fault.startswith(f"{FOLDER}/seed-1") for fault in faults)
    assert [said in fault for fault in faults].count(True) == 1
    assert "damaged, see above" in last


def test_a_claims_cell_that_fails_is_named_with_its_chapter(book: Path) -> None:
    source = book / "book/p00-trial.md"
    source.write_text(source.read_text().replace('column("R1", "accuracy")', "1 / 0"))
    result = called()
    assert result.exit_code == 1
    said = "book/p00-trial.md: the claims cell of p00-trial.md: ZeroDivisionError: division by zero"
    assert result.output.splitlines()[0] == said


def test_of_other_code_records_need_not_have_the_rows_of_new_claims(book: Path) -> None:
    source = book / "book/p00-trial.md"
    source.write_text(source.read_text().replace('"accuracy")', '"precision")'))
    said = f"{FOLDER}/seed-0.json: cannot be judged: B beats A: table R1 has no column 'precision'"
    assert said in called().output
    source.write_text(source.read_text().replace("size = lab", "sizes = lab"))
    assert called().output == "p00 laptop: seeds 0, 1; stale: experiment changed\n"


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


def test_of_the_first_seed_a_picture_is_kept_and_of_others_a_hash(book: Path) -> None:
    known = PICTURE
    (book / FOLDER / "seed-1-R1.png").unlink()
    change(book, "sheets", {"R1": f"- {known}"})
    assert (called("--strict").exit_code, called().output) == (0, "p00 laptop: seeds 0, 1; fresh\n")
    change(book, "sheets", {"R1": "- "})
    assert f"{FOLDER}/seed-1.json: has no hash of its picture of R1\n" in called().output
    change(book, "sheets", {"R1": f"- {known}"}, seed=0)
    (book / FOLDER / "seed-0-R1.png").unlink()
    assert f"{FOLDER}/seed-0.json: keeps no picture of R1: those of seed 0 are kept\n" in called().output


def test_the_name_of_a_picture_may_have_blanks(book: Path) -> None:
    (book / FOLDER / "seed-0-R1.png").rename(book / FOLDER / "seed-0-R1 of a plane.png")
    (book / FOLDER / "seed-1-R1.png").unlink()
    change(book, "sheets", {"R1 of a plane": f"seed-0-R1 of a plane.png {PICTURE}"}, seed=0)
    change(book, "sheets", {"R1 of a plane": f"- {PICTURE}"})
    assert (called("--strict").exit_code, called().output) == (0, "p00 laptop: seeds 0, 1; fresh\n")


def test_the_pictures_of_a_chapter_have_a_limit_together(book: Path) -> None:
    picture, names = bytes(150_000), [f"R{number}" for number in range(5)]
    known = hashlib.sha256(picture).hexdigest()[:16]
    for seed in (0, 1):
        (book / FOLDER / f"seed-{seed}-R1.png").unlink()
        kept = {name: f"seed-0-{name}.png {known}" if seed == 0 else f"- {known}" for name in names}
        change(book, "sheets", kept, seed=seed)
    for name in names:
        (book / FOLDER / f"seed-0-{name}.png").write_bytes(picture)
    said = "results/p00-trial: has pictures of 750000 bytes, more than 600000\n"
    assert said in called().output
    assert called().exit_code == 1


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


def flip(path: Path, chance: random.Random) -> str:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    place = chance.randrange(8 * len(content))
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    return f"bit {place}"


def another_number(path: Path, chance: random.Random) -> str:
    """Change one digit of one number."""
    text = path.read_text()
    digits = [number for number, letter in enumerate(text) if letter.isdigit() and number > 80]
    place = chance.choice(digits)
    new = chance.choice([digit for digit in "0123456789" if digit != text[place]])
    path.write_text(text[:place] + new + text[place + 1 :])
    return f"digit {place}"


def a_table_less(path: Path, chance: random.Random) -> str:
    """Delete or empty a table, with or without a new seal."""
    content = unsealed(path)
    table = chance.choice(list(content["rows"]))
    tables = content["rows"] | {table: []}
    if chance.random() < 0.5:
        del tables[table]
    return written(path, content | {"rows": tables}, chance)


def another_seed(path: Path, chance: random.Random) -> str:
    """Put the other seed in its place, as it is or under this one's number."""
    other = path.with_name(f"seed-{1 - int(path.stem[-1])}.json")
    seed = int(path.stem[-1]) if chance.random() < 0.7 else 1 - int(path.stem[-1])
    return written(path, unsealed(other) | {"seed": seed}, chance)


def another_commit(path: Path, chance: random.Random) -> str:
    """Name another commit, one that does not hold the code."""
    commits = git(path.parents[3], "rev-list", "--all").split()
    here = unsealed(path)["commit"]["sha"]
    sha = chance.choice([*(commit for commit in commits if commit != here), "0" * 40])
    return written(path, unsealed(path) | {"commit": {"sha": sha, "clean": True}}, chance)


def written(path: Path, content: dict[str, Any], chance: random.Random) -> str:
    """Write `content`, half of the times under the seal that it should have."""
    if sealing := chance.random() < 0.5:
        path.write_text(sealed(content))
    else:
        seal = json.loads(path.read_text())["sha256"]
        path.write_text(json.dumps({"sha256": seal, **content}))
    return "sealed again" if sealing else "seal kept"


EDITS = (flip, flip, flip, another_number, another_number, a_table_less, another_seed, another_commit)


@pytest.mark.slow
def test_two_hundred_edits_of_records_are_all_noticed(book: Path) -> None:
    (book / "labkit/measure/intervals.py").write_text("")
    git(book, "commit", "-qam", "a commit that does not hold the code")
    git(book, "checkout", "-q", "HEAD~", "--", "labkit")
    chapter, chance = Chapter("p00-trial", book), random.Random(0)
    paths = [book / FOLDER / f"seed-{seed}.json" for seed in (0, 1)]
    whole = {path: path.read_bytes() for path in paths}
    pair(chapter)
    assert all(_is_current(path, chapter) for path in paths)
    for number in range(200):
        edit, path = EDITS[number % len(EDITS)], chance.choice(paths)
        how = edit(path, chance)
        assert path.read_bytes() != whole[path]
        assert called().exit_code == 1, (number, edit.__name__, how)
        # Of two records with the same rows the second is done again.
        assert not all(_is_current(path, chapter) for path in paths), (number, edit.__name__, how)
        path.write_bytes(whole[path])
    assert called("--strict").exit_code == 0


def test_only_what_is_committed_and_whole_is_hashed_anew(book: Path) -> None:
    path, chapter = book / FOLDER / "seed-0.json", Chapter("p00-trial", book)
    with pytest.raises(LabkitError, match="is not in the last commit"):
        rehash(chapter, path)
    whole = path.read_text()
    path.write_text(sealed(unsealed(path) | {"code": {"experiment": "of another scheme"}}))
    git(book, "add", ".")
    git(book, "commit", "-qm", "records")
    assert called().exit_code == 1
    assert rehash(chapter, path)
    assert path.read_text() == whole
    with pytest.raises(LabkitError, match="is not as committed"):
        rehash(chapter, path)
    path.write_text(whole.replace('"accuracy":0.5', '"accuracy":0.7'))
    git(book, "commit", "-qam", "an edit")
    with pytest.raises(LabkitError, match="damaged"):
        rehash(chapter, path)

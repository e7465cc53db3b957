"""Replay: proof, with its limits, that an edit of code behind recorded runs changed nothing.

Where the code that an experiment reaches was rewritten and should do the same, its smallest run is made twice
on this machine: with the code of the commit that the records name, and with the code of now. Both must give
the same values, to the last digit, and every line that only one of the two has must have been executed in it.
Lines of `raise` are left out: a run that reached one would have failed. A replay compares with the recorded
commit, never with an earlier replay.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime
import difflib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError
from labkit.lab import rerun
from labkit.lab.provenance import cells_at, experiment_cells, reach, reach_at
from labkit.lab.record import Record, records, sealed, unsealed
from labkit.paths import python_path, write_atomically
from labkit.profile import Profile
from labkit.source.files import PACKAGE, git
from labkit.source.meaning import digest, meaning
from labkit.source.reached import EXPERIMENT, Cell, Reach, same_code
from labkit.training.fastest import VARIABLE as PRECISION

FILE = "replay.json"


@dataclass(frozen=True)
class Replay:
    """Two small runs that gave the same: for records of which code, with which code of now.

    `commits` has, for each code that records were made by (its digest), the commit that was run.
    """

    commits: dict[str, str]
    code: str
    changed: list[str]
    compared: int
    excused: list[str]
    machine: str
    precision: str
    versions: dict[str, str]
    date: str

    def vouches_for(self, record: Record, now: Mapping[str, str]) -> bool:
        """Return whether it compared the code of `record` with that of now."""
        return code_digest(record.code) in self.commits and code_digest(now) == self.code

    def sentence(self) -> str:
        """Return what was compared, and what that does not prove, for readers."""
        commits = ", ".join(sha[:8] for sha in dict.fromkeys(self.commits.values()))
        excused = f" ({len(self.excused)} measured times left aside)" if self.excused else ""
        return (
            f"refactored since ({', '.join(self.changed)}). A small run gives the same {self.compared:,} "
            f"values with the code of commit {commits} and with this one, to the last digit{excused}: "
            f"one thread, {self.precision}, torch {self.versions['torch']}, {self.date}. "
            "The recorded runs were not repeated"
        )


def code_digest(code: Mapping[str, str]) -> str:
    """Return one digest for the definitions that an experiment reaches, whatever they are called."""
    return digest(sorted(set(code.values())))


def read_replay(folder: Path) -> Replay | None:
    """Return the replay kept beside the records in `folder`, None where there is none.

    Raises LabkitError where its file is damaged.
    """
    path = folder / FILE
    try:
        return Replay(**unsealed(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise LabkitError(f"{path} is not a replay: {error}") from error


def replay(chapter: Chapter, profile: Profile) -> Replay | None:
    """Compare the code behind the chapter's records of `profile` with that of now, and keep what came of it.

    Returns None where all of them were made by the code of now. Raises LabkitError, and keeps nothing, where
    a value differs, a changed line was not executed, the sizes of a profile are others, or records were made
    on a GPU.
    """
    folder = chapter.root / "results" / chapter.slug / profile
    now = reach(chapter, profile)
    made = records(chapter, chapter.root / "results", profile)
    others = {code_digest(old.code): old for old in made if not same_code(old.code, now.hashes())}
    if not others:
        (folder / FILE).unlink(missing_ok=True)
        return None
    if any("gpu" in record.hardware for record in made):
        raise LabkitError(
            f"{chapter.number} {profile} was recorded on a GPU: a small run here proves nothing"
        )
    found = [_compared(chapter, profile, str(record.commit["sha"])) for record in others.values()]
    kept = dataclasses.replace(
        found[0],
        commits={code: str(record.commit["sha"]) for code, record in others.items()},
        changed=sorted({name for each in found for name in each.changed}),
        compared=min(each.compared for each in found),
    )
    write_atomically(folder / FILE, sealed(dataclasses.asdict(kept)).encode())
    return kept


@dataclass(frozen=True)
class _Side:
    """The experiment at one of the two times: its book, the package it runs on, what it reaches."""

    book: Path
    package: Path
    cells: Sequence[Cell]
    reach: Reach
    text: str  # the cells that compute, as one file

    def source(self, file: str) -> list[str]:
        """Return the lines of a file of the package, or of the experiment."""
        text = self.text if file == EXPERIMENT else (self.package.parent / file).read_text(encoding="utf-8")
        return text.splitlines()

    def lines(self, name: str) -> tuple[str, list[int]]:
        """Return the file of a definition and the numbers of its lines, from 1."""
        if name == EXPERIMENT:
            return EXPERIMENT, list(range(1, 1 + len(self.source(EXPERIMENT))))
        return self.reach.lines(name)

    def run(self, files: Collection[str], records_to: Path, precision: str) -> dict[str, Any]:
        """Run the experiment at its smallest size, one thread, in `precision` where it can be asked for that.

        Raises LabkitError where the run fails.
        """
        imports = [
            ast.unparse(node)
            for cell in self.cells
            if not cell.computes
            for node in ast.parse(cell.source).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        places = {file: str((self.package.parent / file).resolve()) for file in files if file != EXPERIMENT}
        request = {"text": self.text, "imports": "\n".join(imports), "files": places}
        environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment |= {
            "PYTHONPATH": python_path(self.package.parent),
            "LABKIT_RESULTS": str(records_to),
            PRECISION: precision,
        }
        done = subprocess.run(
            [sys.executable, "-P", "-c", Path(rerun.__file__).read_text(encoding="utf-8")],
            cwd=self.book,
            env={**os.environ, **environment},
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise LabkitError(f"the small run failed on {self.package.parent.name}: {last}")
        return json.loads(done.stdout)  # type: ignore[no-any-return]


def _compared(chapter: Chapter, profile: Profile, sha: str) -> Replay:
    """Return the replay of one commit; raises LabkitError where it proves nothing."""
    with tempfile.TemporaryDirectory(prefix="replay-") as scratch:
        root = Path(scratch, "book")
        with tarfile.open(fileobj=io.BytesIO(git(chapter.root, "archive", sha))) as archive:
            archive.extractall(root, filter="data")
        cells, cells_before = experiment_cells(chapter.read()), cells_at(chapter, sha)
        try:
            text_before = _with_sizes_of(_text(cells), _text(cells_before), profile)
        except ValueError as error:
            raise LabkitError(
                f"{chapter.number}: the sizes of {profile} are not those of commit {sha[:8]}"
            ) from error
        reached = reach_at(chapter, profile, sha)
        before = _Side(root, root / "labkit", cells_before, reached, text_before)
        now = _Side(chapter.root, PACKAGE, cells, reach(chapter, profile), _text(cells))
        only = _differing_lines(before, now)
        # In the precision that the earlier code takes, if it takes any.
        was = before.run(only[0], Path(scratch, "records"), "float32")
        runs = (was, now.run(only[1], Path(scratch, "records"), was["precision"]))
        for side, lines, run in zip((before, now), only, runs, strict=True):
            for file, numbers in lines.items():
                source = side.source(file)
                if missed := sorted(numbers & _executable("\n".join(source)) - set(run["lines"][file])):
                    when = "now" if side is now else f"at commit {sha[:8]}"
                    raise LabkitError(
                        f"{chapter.number}: the small run does not execute what differs {when}, "
                        f"{file}:{missed[0]}: {source[missed[0] - 1].strip()}"
                    )
    old, new = (run["values"] for run in runs)
    timed = set(runs[1]["timed"])
    if old.keys() != new.keys():
        raise LabkitError(
            f"{chapter.number}: only one of the two runs has {', '.join(sorted(old.keys() ^ new.keys()))}"
        )
    if differing := [
        name for name in new if name not in timed and json.dumps(old[name]) != json.dumps(new[name])
    ]:
        raise LabkitError(
            f"{chapter.number}: with the code of commit {sha[:8]} others are: {', '.join(differing)}"
        )
    return Replay(
        commits={code_digest(before.reach.hashes()): sha},
        code=code_digest(now.reach.hashes()),
        changed=now.reach.causes(before.reach.hashes()),
        compared=sum(_count(value) for name, value in new.items() if name not in timed),
        excused=sorted(timed),
        machine=runs[1]["machine"],
        precision=runs[1]["precision"],
        versions=runs[1]["versions"],
        date=datetime.date.today().isoformat(),
    )


def _text(cells: Sequence[Cell]) -> str:
    return "\n".join(cell.source for cell in cells if cell.computes)


def _with_sizes_of(now: str, before: str, profile: Profile) -> str:
    """Return the experiment `before` with the smallest sizes of `now`: they may have been trimmed since.

    Raises ValueError where the two do not pick the same sizes for `profile`.
    """
    picks, others = _picks(before), _picks(now)
    if [meaning(pick[profile]) for pick in picks] != [meaning(other[profile]) for other in others]:
        raise ValueError(f"other sizes for {profile}")
    lines = [line.encode() for line in before.split("\n")]
    # From the last one on, so that places stay; offsets count bytes.
    for pick, other in reversed(list(zip(picks, others, strict=True))):
        old, new = pick["smoke"], ast.get_source_segment(now, other["smoke"]) or ""
        first, last = old.lineno - 1, (old.end_lineno or old.lineno) - 1
        head, tail = lines[first][: old.col_offset], lines[last][old.end_col_offset :]
        lines[first : last + 1] = (head + new.encode() + tail).split(b"\n")
    return b"\n".join(lines).decode()


def _picks(text: str) -> list[dict[str | None, ast.expr]]:
    """Return the values of each choice between profiles, in the order of the text."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    chosen = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "pick"]
    chosen.sort(key=lambda call: (call.lineno, call.col_offset))
    return [{keyword.arg: keyword.value for keyword in call.keywords} for call in chosen]


def _differing_lines(before: _Side, now: _Side) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """Return for both sides file → numbers of the lines that only it has in the definitions that changed."""
    found: tuple[dict[str, set[int]], dict[str, set[int]]] = ({}, {})
    for names in _pairs(now.reach.causes(before.reach.hashes()), before.reach.hashes(), now.reach.hashes()):
        places = [
            side.lines(name) if name else ("", []) for side, name in zip((before, now), names, strict=True)
        ]
        texts = [
            [side.source(file)[number - 1].rstrip() for number in numbers]
            for side, (file, numbers) in zip((before, now), places, strict=True)
        ]
        alike: tuple[set[int], set[int]] = (set(), set())
        for block in difflib.SequenceMatcher(a=texts[0], b=texts[1], autojunk=False).get_matching_blocks():
            alike[0].update(range(block.a, block.a + block.size))
            alike[1].update(range(block.b, block.b + block.size))
        for lines, same, (file, numbers) in zip(found, alike, places, strict=True):
            if file:
                lines.setdefault(file, set()).update(
                    number for place, number in enumerate(numbers) if place not in same
                )
    return found


def _pairs(
    causes: Sequence[str], before: Mapping[str, str], now: Mapping[str, str]
) -> Iterator[tuple[str | None, str | None]]:
    """Yield the names of each changed definition before and now: of one that moved, the last part stays."""
    gone = [name for name, value in before.items() if name not in now and value not in now.values()]
    for name in causes:
        moved = [old for old in gone if old.rpartition(".")[2] == name.rpartition(".")[2]]
        old = name if name in before else moved[0] if len(moved) == 1 else None
        gone = [each for each in gone if each != old]
        yield old, name
    yield from ((name, None) for name in gone)


def _executable(source: str) -> set[int]:
    """Return the numbers of the lines that do something other than raise: no `raise`, no `...`."""
    lines: set[int] = set()
    waiting: list[CodeType] = [compile(source, EXPERIMENT, "exec")]
    while waiting:
        code = waiting.pop()
        lines.update(line for _, _, line in code.co_lines() if line)
        waiting += (constant for constant in code.co_consts if isinstance(constant, CodeType))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def _count(value: Any) -> int:
    """Return how many numbers and texts a value holds."""
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1

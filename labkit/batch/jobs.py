"""A job: one run of one chapter, as plain values, done once however many processes are asked for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from labkit.errors import LabkitError, one_line

if TYPE_CHECKING:
    from labkit.chapters.chapter import Chapter

State = Literal["recorded", "executed", "skipped", "failed"]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What to run; every field is text, a number or a boolean, so that a job travels anywhere."""

    slug: str
    profile: str
    seed: int
    parameters: dict[str, int | float | bool | str]
    root: str
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a job; `detail` is one line: the file written or found, or what went wrong.

    A run is `recorded` under results/, or only `executed`: the smoke profile, and trials of other parameters.
    """

    job: Job
    state: State
    detail: str
    seconds: float = 0.0


def seeds_of(seed: int | None, seeds: str | None) -> list[int]:
    """Return the seeds that ``--seed`` and ``--seeds`` ask for, in order and each once; 0 where neither does.

    `seeds` holds numbers and ranges: ``0,1,2`` or ``0-2,7``. Raises LabkitError for anything else.
    """
    if seeds is None:
        return [seed or 0]
    if seed is not None:
        raise LabkitError("use either --seed N or --seeds N,N,…, not both")
    found: dict[int, None] = {}
    for part in seeds.split(","):
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise LabkitError(
                f"--seeds takes whole numbers and rising ranges such as 0,1,2 or 0-2, not {seeds!r}"
            )
        found |= dict.fromkeys(range(first, last + 1))
    return list(found)


def planned(
    names: Sequence[str], profile: str, seeds: Sequence[int], texts: Sequence[str], *, force: bool = False
) -> list[Job]:
    """Return the jobs for chapters (or ``all``) and seeds, once every name and parameter has been checked.

    Raises LabkitError for the first that is unknown or of another type.
    """
    from labkit.batch.runner import defaults_of
    from labkit.chapters.chapter import chapters, find_chapter
    from labkit.chapters.parameters import checked, from_texts

    for option in ("profile", "seed"):
        if any(text.startswith(f"{option}=") for text in texts):
            raise LabkitError(f"use --{option}, not -p {option}=…")
    jobs = []
    for chapter in chapters() if tuple(names) == ("all",) else dict.fromkeys(map(find_chapter, names)):
        defaults = defaults_of(chapter)
        parameters = from_texts(texts, defaults, chapter.slug)
        for seed in seeds:
            checked({"profile": profile, "seed": seed, **parameters}, defaults, chapter.slug)
            jobs.append(Job(chapter.slug, profile, seed, parameters, str(chapter.root), force))
    return jobs


def perform(job: Job, *, verbose: bool = False) -> Outcome:
    """Run the job in this process, unless its record is there and made by the present code.

    Of several processes asked for the same run one does it; the others wait, then find its record. Whatever
    goes wrong is the outcome `failed`; only an interrupt is raised.
    """
    started = time.monotonic()
    try:
        with _alone(job):
            state, detail = _record_or_run(job, verbose)
    except LabkitError as error:
        state, detail = "failed", str(error)
    except Exception as error:
        traceback.print_exc()
        state, detail = "failed", f"{job.slug}: {one_line(type(error).__name__, str(error))}"
    return Outcome(job, state, detail, time.monotonic() - started)


def _alone(job: Job) -> AbstractContextManager[object]:
    """Return the held lock of this run, after a line where another process had it."""
    from filelock import FileLock, Timeout

    path = Path(job.root, "runs", job.slug, job.profile, f"seed-{job.seed}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"{job.slug}: another process has seed {job.seed}; waiting for it", file=sys.stderr)
        return lock.acquire()


def _record_or_run(job: Job, verbose: bool) -> tuple[State, str]:
    from labkit.batch.runner import record_of, run
    from labkit.chapters.chapter import Chapter

    chapter = Chapter(job.slug, Path(job.root))
    record = record_of(chapter, job.profile, job.seed, job.parameters)
    if record and not job.force and _is_current(record, chapter):
        return "skipped", f"{record.relative_to(chapter.root)} is made by this code; --force runs it again"
    executed = run(chapter, job.profile, job.seed, job.parameters, verbose=verbose)
    if record and record.is_file():
        return "recorded", str(record.relative_to(chapter.root))
    return "executed", str(executed.relative_to(chapter.root))


def _is_current(path: Path, chapter: Chapter) -> bool:
    """Return whether the record is there, without a fault, and of the chapter's present code."""
    if not path.is_file():
        return False
    # Only here: it imports torch, which takes seconds.
    from labkit.batch.runner import defaults_of
    from labkit.lab.record import read_record
    from labkit.lab.standing import code_state
    from labkit.lab.verify import refused

    if refused(path, chapter, defaults_of(chapter)):
        return False
    return code_state([read_record(path)], chapter).word != "stale"


def shares(cores: int, side_by_side: int) -> dict[str, str]:
    """Return the environment of each of the jobs that divide `cores` among them.

    Beside others a thread must sleep while it waits: spinning ones take the cores from the other jobs.
    """
    environment = dict.fromkeys(THREADS, str(max(1, cores // side_by_side)))
    return environment | ({"OMP_WAIT_POLICY": "passive"} if side_by_side > 1 else {})


def perform_apart(job: Job, environment: Mapping[str, str], leash: int = subprocess.PIPE) -> Outcome:
    """Run the job in a process of its own, with `environment` over this one's.

    The process stops itself, and its kernel, when nobody is left who holds the other end of `leash`: it
    never outlives the process that asked for it, even one that was killed. Until it has stopped it keeps
    the run locked.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit.batch.jobs", json.dumps(asdict(job))],
            cwd=job.root,
            env={**os.environ, **environment},
            stdin=leash,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # A Ctrl-C in the terminal comes through the leash, once.
            start_new_session=True,
        )
        with process:
            assert process.stdout
            answer = process.stdout.read()
        errors.seek(0)
        last = "".join(errors.readlines()[-1:]).strip()
    try:
        return Outcome(job, **json.loads(answer))
    except (ValueError, TypeError):
        detail = f"{job.slug}: its process ended with exit code {process.returncode}: {last or 'no message'}"
        return Outcome(job, "failed", detail, time.monotonic() - started)


def _stop_when_left_alone() -> None:
    """Interrupt this process as Ctrl-C would once stdin ends."""
    # Not sys.stdin.read(): a thread inside it makes Python abort when the process ends by itself.
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGINT)


def main(argument: str) -> None:
    """Perform the job that `argument` holds as JSON and print its outcome as JSON, alone on stdout."""
    # Started in the background, a process ignores SIGINT unless told otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_stop_when_left_alone, daemon=True).start()
    with redirect_stdout(sys.stderr):
        outcome = asdict(perform(Job(**json.loads(argument))))
    del outcome["job"]
    print(json.dumps(outcome))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit("stopped")

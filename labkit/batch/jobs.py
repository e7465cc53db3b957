"""Doing a job: once, however many processes are asked for it, here or in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.batch.plan import Job, Outcome, State
from labkit.errors import LabkitError, one_line
from labkit.paths import write_atomically

if TYPE_CHECKING:
    from labkit.chapters.chapter import Chapter

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
    except OSError as error:  # a full disk, a folder that cannot be written
        folder = _checkpoints(job).parent.relative_to(job.root)
        state, detail = "failed", f"{job.slug}: cannot run in {folder}: {error.strerror or error}"
    except Exception as error:
        traceback.print_exc()
        state, detail = "failed", f"{job.slug}: {one_line(type(error).__name__, str(error))}"
    return Outcome(job, state, detail, time.monotonic() - started)


def _alone(job: Job) -> AbstractContextManager[object]:
    """Return the held lock of this run, after a line where another process had it."""
    from filelock import FileLock, Timeout
    from tqdm import tqdm

    from labkit.batch.runner import folder_of
    from labkit.chapters.chapter import find_chapter

    folder = folder_of(find_chapter(job.slug, Path(job.root)), job.profile, job.parameters)
    path = folder / f"seed-{job.seed}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        tqdm.write(f"{job.slug}: another process has seed {job.seed}; waiting for it", file=sys.stderr)
        return lock.acquire()


def _checkpoints(job: Job) -> Path:
    """Return the place under ``runs/`` of this run's checkpoints; a trial shares it, with keys of its own."""
    return Path(job.root, "runs", job.slug, job.profile, f"seed-{job.seed}")


def _forget(checkpoints: Path, who: str) -> None:
    """Remove the checkpoints of a run that `who` wants from its start, but not those it has made for `who`.

    A job whose process died comes again, here or on another machine, and goes on from its last checkpoint.
    """
    mark = checkpoints / "forced"
    if mark.is_file() and mark.read_text() == who:
        return
    if checkpoints.exists():
        shutil.rmtree(checkpoints)
    write_atomically(mark, who.encode())


def _record_or_run(job: Job, verbose: bool) -> tuple[State, str]:
    from labkit.batch.runner import record_of, run
    from labkit.chapters.chapter import find_chapter

    chapter = find_chapter(job.slug, Path(job.root))
    record = record_of(chapter, job.profile, job.seed, job.parameters)
    if record and not job.force and _is_current(record, chapter):
        return "skipped", f"{record.relative_to(chapter.root)} is made by this code; --force runs it again"
    if job.force:
        _forget(_checkpoints(job), job.force)
    executed = run(chapter, job.profile, job.seed, job.parameters, verbose=verbose)
    if record and record.is_file():
        return "recorded", str(record.relative_to(chapter.root))
    paths = [path for path in (executed.with_suffix(".json"), executed) if path.is_file()]
    return "executed", " and ".join(str(path.relative_to(chapter.root)) for path in paths)


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
    the run locked. One that is killed itself, perhaps for want of memory, is followed by a second, which goes
    on from the last checkpoint.
    """
    from tqdm import tqdm

    started = time.monotonic()
    for again in (True, False):
        code, answer, last = _process(job, environment, leash)
        if code >= 0 or not again:
            break
        told = f"{job.slug}: the process of seed {job.seed} was killed by signal {-code}; once more"
        tqdm.write(told, file=sys.stderr)
    try:
        return Outcome(job, **json.loads(answer))
    except (ValueError, TypeError):
        ended = f"was killed twice, by signal {-code}" if code < 0 else f"ended with exit code {code}: {last}"
        return Outcome(
            job,
            "failed",
            one_line(job.slug, f"the process of seed {job.seed} {ended}"),
            time.monotonic() - started,
        )


def _process(job: Job, environment: Mapping[str, str], leash: int) -> tuple[int, str, str]:
    """Return exit code, answer and last line of error of a process that has performed the job."""
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
        # A progress bar goes back to the start of its line.
        last = errors.read().rstrip().rpartition("\n")[2].rpartition("\r")[2]
    return process.returncode, answer, last


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

"""jupyter-book in a process of its own, which never outlives the one that asked for it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

import click

from labkit.errors import LabkitError

CHAPTER = re.compile(r"(\S+): execut(?:ing|ed in ([\d.]+) s)")  # what labkit.site.execute says
WARNED = re.compile(r"\b(WARNING|ERROR|CRITICAL): ")
ANSI = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
GRACE = 10  # seconds in which a kernel must have stopped
STOPPED = 3  # exit code where the last line says why; 1, which Python has for itself, means warnings, too


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold the lock of `folder`, after a line where another build has it; yield the open file that holds it.

    The lock is free again when all processes are gone that have this file open. Raises LabkitError where
    the disk is full or the folder cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                click.echo(f"another build is at work in {folder}: waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()
    except OSError as error:
        raise LabkitError(f"cannot build in {folder}: {error}") from error


def run_jupyter_book(root: Path, site: Path, log: Path, lock: int, builder: str = "html") -> dict[str, float]:
    """Build the pages of `root` into `site`, all output into `log`; return the seconds of executed chapters.

    What Sphinx keeps from one time to the next lies beside `site`. The process and its kernels stop when this
    one is interrupted, terminated or gone; until then it holds the file `lock`.

    Raises LabkitError with the cause.
    """
    executed = {}
    with (
        log.open("w", encoding="utf-8", buffering=1) as file,
        _apart(root, site, builder, file, lock) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            plain = ANSI.sub("", line)
            file.write(plain)
            if found := CHAPTER.fullmatch(plain.strip()):
                click.echo(found[0])
                if found[2]:
                    executed[found[1]] = float(found[2])
    if process.returncode:
        raise LabkitError(_cause(log, process.returncode))
    return executed


@contextmanager
def _apart(root: Path, site: Path, builder: str, errors: IO[str], lock: int) -> Iterator[Popen[str]]:
    """Run `main` in a process of its own, which has ended when this context does; SIGTERM is as Ctrl-C."""
    process = Popen(
        [sys.executable, "-m", "labkit.site.engine", str(root), str(site), builder],
        cwd=root,
        env=os.environ | _environment(site.parent),
        stdin=PIPE,  # the leash: it ends when nobody holds the other end any more
        stdout=PIPE,
        stderr=errors,
        text=True,
        errors="replace",
        # A Ctrl-C in the terminal comes through the leash, once.
        start_new_session=True,
        pass_fds=[lock],
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield process
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait()
        signal.signal(signal.SIGTERM, before)


def _environment(folder: Path) -> dict[str, str]:
    # No chapter may need the network: what asks for it is sent to a port where nobody answers.
    proxies = [
        name for scheme in ("http", "https", "all") for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    ]
    return dict.fromkeys(proxies, "http://127.0.0.1:9") | {
        # Threads of torch that spin while they wait would slow down the other chapter.
        "OMP_WAIT_POLICY": "passive",
        "no_proxy": "localhost,127.0.0.1",
        # A user's own python3 kernel may belong to another installation.
        "JUPYTER_PREFER_ENV_PATH": "1",
        # The records of these runs are no one's results.
        "LABKIT_RESULTS": str(folder / "runs"),
    }


def _cause(log: Path, code: int) -> str:
    """Return what stopped the build in one line, and below it the end of the log."""
    told = log.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = [line for line in told if line.strip(" =")] or ["it said nothing"]
    if code < 0:
        cause = f"jupyter-book was killed by signal {-code}, perhaps for want of memory"
    elif code == STOPPED:
        cause = lines[-1]
    else:
        cause = next(filter(WARNED.search, lines), lines[-1])
    tail = "\n  ".join(lines[-15:])
    return f"{cause}\n  the end of {log}:\n  {tail}"


def _stop_when_left_alone() -> None:
    """End this process and its kernel once nobody holds the leash."""
    # Not sys.stdin.read(): a thread inside it makes Python abort when the process ends by itself.
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE)
    # A kernel that is still there sees that its parent is gone.
    os.kill(os.getpid(), signal.SIGKILL)


def _reason(error: BaseException) -> str:
    """Return in one line what went wrong."""
    from sphinx.errors import SphinxError

    # What a hook of ours has raised comes wrapped in words about Sphinx.
    error = getattr(error, "orig_exc", None) or error
    name = error.category if isinstance(error, SphinxError) else type(error).__name__
    return " ".join((str(error) if isinstance(error, LabkitError) else f"{name}: {error}").split())


def main(root: str, site: str, builder: str) -> None:
    """Build, as `jupyter-book build` does, but into `site`; where that fails, say why in the last line."""
    # Started in the background, a process ignores SIGINT unless told otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_stop_when_left_alone, daemon=True).start()
    # The pipe is for Sphinx alone: it must end with this process, whoever a cell has started and left behind.
    sys.stdout = sys.stderr = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    from jupyter_book.sphinx import build_sphinx  # type: ignore[import-untyped]

    result = build_sphinx(
        root,
        site,
        noconfig=True,
        path_config=Path(root, "_config.yml"),
        confoverrides={
            "external_toc_path": f"{root}/_toc.yml",
            "latex_individualpages": False,
            "nitpicky": True,
        },
        builder=builder,
        warningiserror=True,
        keep_going=True,
    )
    if isinstance(result, BaseException):
        print(_reason(result), file=sys.stderr)
        result = STOPPED
    sys.exit(result)


if __name__ == "__main__":
    main(*sys.argv[1:])

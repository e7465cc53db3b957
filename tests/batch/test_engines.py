"""Many runs on one machine: each is done once, whoever is killed, and no run takes the cores of another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from many_runs import COMMAND, Start, begun, book, done, is_alive, labkit_run, outcomes, started, until

from labkit.batch.jobs import shares
from labkit.batch.plan import seeds_of
from labkit.chapters.chapter import Chapter
from labkit.machine import cores

__all__ = ["book", "started"]  # fixtures


def test_a_record_of_this_code_is_skipped_and_a_failure_does_not_stop_the_rest(book: Chapter) -> None:
    result = labkit_run("--seeds", "13,0,1")
    assert result.exit_code == 1
    assert outcomes(result.stdout) == [["0", "recorded"], ["1", "recorded"], ["13", "failed"]]
    failed = (
        "cell In [4] of runs/t01-tiny/laptop/seed-13.failed.ipynb failed: ValueError: thirteen is too many"
    )
    assert f"Error: t01-tiny: {failed}\n" in result.stderr
    assert result.stdout.endswith(f"failed: {failed}\n")

    result = labkit_run("--seeds", "0-1")
    assert result.exit_code == 0
    assert outcomes(result.stdout) == [["0", "skipped"], ["1", "skipped"]]
    assert [line[0] for line in done(book)] == ["0", "1"]

    assert labkit_run("--seed", "0", "--force").stdout == (
        "t01-tiny: recorded: results/t01-tiny/laptop/seed-0.json\n"
    )
    record = book.root / "results" / "t01-tiny" / "laptop" / "seed-1.json"
    for old, new in (('"epochs":0', '"epochs":5'), ('"chapter":"', '"chapter":"0'), ("{", "")):
        record.write_text(record.read_text().replace(old, new))
        assert ": recorded: " in labkit_run("--seed", "1").stdout, old
    assert [line[0] for line in done(book)] == ["0", "0", "1", "1", "1", "1"]


def test_force_runs_from_the_start_and_forgets_the_checkpoints_of_that_run_alone(book: Chapter) -> None:
    labkit_run("--seeds", "0-1")
    for times in (2, 3):
        labkit_run("--seed", "0", "--force")
        assert [line[-1] for line in done(book) if line[0] == "0"] == ["whole"] * times
    for seed in (0, 1):
        (book.root / "results" / "t01-tiny" / "laptop" / f"seed-{seed}.json").unlink()
    labkit_run("--seeds", "0-1")
    assert [line[-1] for line in done(book)] == ["resumed", "whole", "whole", "whole", "resumed", "whole"]


def killed(book: Chapter, seed: int, attempt: int) -> None:
    """Kill the process that runs the kernel of the run's last attempt, once that has begun."""
    until(lambda: len(begun(book, seed)) == attempt)
    [kernel] = filter(is_alive, begun(book, seed))
    worker = subprocess.check_output(["ps", "-o", "ppid=", "-p", str(kernel)], text=True)
    os.kill(int(worker), signal.SIGKILL)
    until(lambda: not is_alive(kernel))


def test_a_run_whose_process_is_killed_goes_on_once_and_force_does_not_start_it_anew(
    book: Chapter, started: Start
) -> None:
    labkit_run("--seeds", "0-1")
    for seed in (0, 1):
        (book.root / f"gate-{seed}").touch()
        [kernel] = begun(book, seed)
        (book.root / f"begun-{seed}-{kernel}").unlink()
    process = started(*COMMAND, "--seeds", "0-1", "--jobs", "2", "--force")
    killed(book, 1, attempt=1)
    killed(book, 0, attempt=1)
    until(lambda: len(begun(book, 1)) == len(begun(book, 0)) == 2)
    killed(book, 0, attempt=2)
    (book.root / "gate-1").unlink()
    output, errors = process.communicate(timeout=40)
    assert process.returncode == 1, errors
    assert outcomes(output) == [["0", "failed"], ["1", "recorded"]]
    assert output.splitlines()[1].endswith("failed: the process of seed 0 was killed twice, by signal 9")
    told = [line for line in errors.replace("\r", "\n").splitlines() if "killed" in line]
    assert sorted(told) == [
        "Error: t01-tiny: the process of seed 0 was killed twice, by signal 9",
        *(f"t01-tiny: the process of seed {n} was killed by signal 9; once more" for n in (0, 1)),
    ]
    # The first attempt began anew, the second went on from what the first had kept.
    assert sorted(line[-1] for line in done(book) if line[0] == "1") == ["resumed", "whole"]


def test_what_stops_a_process_before_its_answer_is_told_without_a_bar(book: Chapter, monkeypatch) -> None:
    (book.root / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'labkit.batch.jobs' in sys.orig_argv:\n"
        "    sys.stderr.write('t01: 50%|##  | 1/2\\rt01: 99%|### | 2/2\\rout of everything\\n')\n"
        "    sys.stderr.flush()\n"
        "    os._exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(book.root), prepend=os.pathsep)
    result = labkit_run("--seeds", "0-1", "--jobs", "2")
    assert result.exit_code == 1
    for seed in (0, 1):
        failed = f"t01-tiny: the process of seed {seed} ended with exit code 3: out of everything"
        assert f"Error: {failed}\n" in result.stderr


def test_runs_side_by_side_divide_the_cores_and_stop_together(book: Chapter, started: Start) -> None:
    for seed in (0, 1):
        (book.root / f"gate-{seed}").touch()
    process = started(*COMMAND, "--seeds", "0-2", "--jobs", "2", OMP_NUM_THREADS="7")
    until(lambda: begun(book, 0) and begun(book, 1))
    assert not begun(book, 2)
    (book.root / "gate-0").unlink()
    until(lambda: begun(book, 2))
    until(lambda: len(done(book)) == 2)
    share = str(max(1, cores() // 2))
    assert [line[:3] for line in done(book)] == [["0", share, "passive"], ["2", share, "passive"]]

    [kernel] = begun(book, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "Stopped; the cells so far are in runs/."
    assert "Traceback" not in errors
    assert not is_alive(kernel)


@pytest.mark.parametrize(
    ("blow", "options"),
    [(signal.SIGTERM, ()), (signal.SIGTERM, ("--jobs", "2")), (signal.SIGHUP, ()), (signal.SIGKILL, ())],
)
def test_a_command_that_is_ended_leaves_no_kernel(
    book: Chapter, started: Start, blow: signal.Signals, options: tuple[str, ...]
) -> None:
    (book.root / "gate-0").touch()
    process = started(*COMMAND, *options)
    until(lambda: begun(book, 0))
    [kernel] = begun(book, 0)
    process.send_signal(blow)
    assert process.wait(timeout=60) == -blow
    until(lambda: not is_alive(kernel))


@pytest.mark.parametrize("options", [(), ("--jobs", "2")])
def test_a_disk_that_is_full_or_cannot_be_written_is_one_line(
    book: Chapter, options: tuple[str, ...]
) -> None:
    folder = book.root / "runs" / "t01-tiny" / "laptop"
    folder.mkdir(parents=True)
    (folder / "seed-0.running.ipynb").symlink_to("/dev/full")
    (folder / "seed-1.lock").mkdir()
    result = labkit_run("--seeds", "0-1", *options)
    assert result.exit_code == 1
    assert outcomes(result.stdout) == [["0", "failed"], ["1", "failed"]]
    assert "Traceback" not in result.stderr
    for reason in ("No space left on device", "Is a directory"):
        assert f"Error: t01-tiny: cannot run in runs/t01-tiny/laptop: {reason}\n" in result.stderr


def test_two_commands_asked_for_one_run_do_it_once(book: Chapter, started: Start) -> None:
    gate = book.root / "gate-4"
    gate.touch()
    first = started(*COMMAND, "--seed", "4")
    until(lambda: begun(book, 4))
    second = started(*COMMAND, "--seed", "4")
    assert second.stderr
    assert second.stderr.readline() == "t01-tiny: another process has seed 4; waiting for it\n"
    gate.unlink()
    assert first.communicate(timeout=30)[0].startswith("t01-tiny: recorded: ")
    assert second.communicate(timeout=30)[0].startswith("t01-tiny: skipped: ")
    assert len(begun(book, 4)) == 1


def test_the_engines_wait_for_no_heavy_import() -> None:
    heavy = "('torch', 'papermill', 'distributed', 'dask', 'tqdm')"
    imports = "import sys, labkit.commands.main, labkit.batch.engines"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_seeds_and_shares() -> None:
    assert seeds_of(None, None) == [0]
    assert seeds_of(3, None) == [3]
    assert seeds_of(None, "4, 0-2,1") == [4, 0, 1, 2]
    assert shares(16, 4)["OMP_NUM_THREADS"] == shares(16, 4)["MKL_NUM_THREADS"] == "4"
    assert shares(2, 4)["OMP_NUM_THREADS"] == "1"
    assert "OMP_WAIT_POLICY" not in shares(16, 1)

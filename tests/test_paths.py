"""Files are written whole or not at all; what killed writers leave is swept, what living ones have is not."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labkit.errors import LabkitError
from labkit.paths import python_path, write_atomically

# A writer that says so when its file is there under the temporary name, and waits.
WRITER = """
import os, sys, time
from pathlib import Path
from labkit.paths import write_atomically

def wait(handle):
    print("written", flush=True)
    sys.stdin.read()

os.fsync = wait
write_atomically(Path(sys.argv[1]), b"slow")
"""


def writer(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "written\n"
    return process


def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_living_one_is_not_disturbed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a[1].json"
    bystanders = [
        tmp_path / name for name in (".a[1].json.swp", ".other.json.abcdefgh.part", "a[1].json.part")
    ]
    for bystander in bystanders:
        bystander.touch()
    killed, living = writer(path), writer(path)
    with killed, living:
        killed.kill()
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 2 + len(bystanders)
        write_atomically(path, b"quick")
        assert path.read_bytes() == b"quick"
        assert len(list(tmp_path.iterdir())) == 2 + len(bystanders)
        living.communicate()
        assert living.returncode == 0
    assert path.read_bytes() == b"slow"
    assert sorted(tmp_path.iterdir()) == sorted([path, *bystanders])


def test_many_writers_of_one_file_leave_one_of_their_contents_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([number]) * 10_000 for number in range(8)]

    def write(content: bytes) -> None:
        for _ in range(40):
            write_atomically(path, content)
            assert path.read_bytes() in contents

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, contents))
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(LabkitError, match=r"^cannot write .*/runs/p22/file: Not a directory$"):
        write_atomically(tmp_path / "runs" / "p22" / "file", b"")


def test_another_process_looks_in_a_folder_first_and_then_where_this_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/the/user")
    assert python_path(tmp_path) == os.pathsep.join([str(tmp_path), "/of/the/user"])
    monkeypatch.delenv("PYTHONPATH")
    assert python_path(tmp_path) == str(tmp_path)

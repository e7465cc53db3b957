"""The book's address: what is set, else where the clone is from; the first cell leads there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.chapters import pairing
from labkit.chapters.address import address, branch, setting
from labkit.chapters.bootstrap import address_in, bootstrap, is_bootstrap
from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError

HUB = "https://github.com/a/the.book"


def clone_of(root: Path, url: str) -> None:
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "remote", "add", "origin", url], cwd=root, check=True)


@pytest.mark.parametrize(
    "url",
    [
        HUB,
        f"{HUB}.git",
        f"{HUB}/",
        "https://someone:secret@github.com/a/the.book.git",
        "git@github.com:a/the.book.git",
        "ssh://git@github.com/a/the.book",
    ],
)
def test_a_clone_knows_where_it_is_from(tmp_path: Path, url: str) -> None:
    assert address(tmp_path) == ""
    clone_of(tmp_path, url)
    assert address(tmp_path) == HUB


@pytest.mark.parametrize("url", ["/srv/git/book", "https://example.org/a/book", "https://github.com/a"])
def test_no_other_origin_is_an_address(tmp_path: Path, url: str) -> None:
    clone_of(tmp_path, url)
    assert address(tmp_path) == ""


def test_what_is_set_goes_first(tmp_path: Path) -> None:
    clone_of(tmp_path, "https://github.com/fork/book")
    config = tmp_path / "_config.yml"
    config.write_text("repository:\n  url: ''\n  branch: next\n")
    assert (setting(tmp_path), address(tmp_path)) == ("", "https://github.com/fork/book")
    assert branch(tmp_path) == "next"
    config.write_text(f"repository:\n  url: {HUB}\n")
    assert address(tmp_path) == HUB
    config.write_text("repository:\n  url: example.org/book\n")
    with pytest.raises(LabkitError, match=r"the url of the repository is not .*: example\.org/book"):
        address(tmp_path)


def cell_of(chapter: Chapter) -> str:
    [cell] = [cell for cell in pairing.read_notebook(chapter.notebook).cells if is_bootstrap(cell)]
    return str(cell.source)


def test_notebooks_are_the_same_in_all_clones(paired: Chapter) -> None:
    assert f'"{HUB}"' not in cell_of(paired)
    clone_of(paired.root, HUB)
    assert pairing.differences(paired) == [], "a check must not depend on where the clone is from"
    assert pairing.pair(paired)
    assert f'"{HUB}"' in cell_of(paired)
    assert address_in(pairing.read_notebook(paired.notebook)) == HUB
    subprocess.run(
        ["git", "remote", "set-url", "origin", "https://github.com/fork/book"], cwd=paired.root, check=True
    )
    assert not pairing.pair(paired), "a fork's notebooks lead to the book"
    (paired.root / "_config.yml").write_text("repository:\n  url: https://github.com/new/home\n")
    assert pairing.differences(paired) == ["notebooks/t01-tiny.ipynb: cell 2 differs in source"]
    assert pairing.pair(paired)
    assert '"https://github.com/new/home"' in cell_of(paired)


def test_a_source_with_such_a_cell_gets_no_second(tiny: Chapter) -> None:
    cell = "```{code-cell}\n:tags: [bootstrap]\n\nold()\n```\n\n"
    tiny.source.write_text(tiny.source.read_text().replace("```{code-cell}", f"{cell}```{{code-cell}}", 1))
    made = pairing.notebook_from(tiny, HUB).cells
    assert [cell.source for cell in made if is_bootstrap(cell)] == [bootstrap(HUB).source]
    assert made[1].metadata.cellView == "form"


def ran(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str, returncode: int = 0) -> list[list[str]]:
    """Run the cell twice in `folder`, where labkit is missing at first; return what it ran."""
    steps: list[list[str]] = []

    def step(command: list[Any], **options: Any) -> subprocess.CompletedProcess[str]:
        steps.append([*map(str, command)])
        return subprocess.CompletedProcess(command, returncode)

    monkeypatch.setattr(subprocess, "run", step)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: steps or None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    for _ in range(2):
        exec(compile(bootstrap(url).source, "bootstrap", "exec"), {})
    return steps


def test_the_cell_fetches_the_book_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, install = ran(monkeypatch, tmp_path, HUB)
    # Torch and numpy stay as they are: nothing is pinned, no file of requirements is installed.
    folder = str(tmp_path / "the-lab-book")
    assert clone == ["git", "clone", "--quiet", "--depth", "1", HUB, folder]
    assert install == [sys.executable, "-m", "pip", "install", "--quiet", "--editable", folder]
    assert sys.path[0] == folder


def test_within_a_clone_the_cell_installs_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labkit").mkdir()
    (tmp_path / "runs/notebooks").mkdir(parents=True)
    [install] = ran(monkeypatch, tmp_path / "runs/notebooks", "")
    assert install[-1] == str(tmp_path)


def test_what_fails_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=rf"^the book is not here and cannot be fetched: git clone .* {HUB}"):
        ran(monkeypatch, tmp_path, HUB, returncode=128)
    with pytest.raises(SystemExit, match=r"^labkit is not here: get the book and type `make lab`"):
        ran(monkeypatch, tmp_path, "")


def test_the_cell_does_nothing_where_labkit_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"the bootstrap cell ran {arguments}")

    for name in ("run", "Popen"):
        monkeypatch.setattr(subprocess, name, refused)
    before = list(sys.path)
    exec(compile(bootstrap(HUB).source, "bootstrap", "exec"), {})
    assert sys.path == before

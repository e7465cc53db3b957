"""Colab keeps what it has: the book adds packages there and changes none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import colab as colab_module
import pytest
from colab import (
    BOOK,
    colab,
    copy_of_the_book,
    installed,
    listed,
    new_environment,
    on_top_of,
    planned,
    plant,
    publish,
    requirements,
    site_packages,
)
from packaging.utils import canonicalize_name

from labkit.chapters.bootstrap import bootstrap

pytestmark = pytest.mark.slow

HUB = "https://github.com/the-lab-book/the-lab-book"
KEPT = {"torch", "torchvision", "numpy", "matplotlib", "ipython"}
# Lower bounds that Colab does not meet.
TOO_HIGH = {"numpy": "2.2", "matplotlib": "3.10.1", "ipython": "8.0"}


def raised(project: Path, name: str) -> Path:
    """Raise the lower bound of `name` in the package of the folder `project`."""
    file = project / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    changed, count = re.subn(rf'"{name}>=[^"]+"', f'"{name}>={TOO_HIGH[name]}"', text)
    assert count == 1
    file.write_text(changed, encoding="utf-8")
    return project


def unmet(project: Path) -> set[str]:
    """Return the direct dependencies that Colab has in a version that will not do."""
    there = listed()
    names = {canonicalize_name(need.name): need for need in requirements(project)}
    return {name for name, need in names.items() if name in there and there[name] not in need.specifier}


def test_colab_meets_every_lower_bound() -> None:
    there = listed()
    assert there.keys() >= KEPT
    assert len(there) > 500
    assert unmet(BOOK) == set()


@pytest.mark.parametrize("name", TOO_HIGH)
def test_a_lower_bound_that_colab_does_not_meet_is_noticed(name: str, tmp_path: Path) -> None:
    shutil.copy(BOOK / "pyproject.toml", tmp_path)
    assert unmet(raised(tmp_path, name)) == {name}


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which pip sees the packages of Colab, all of them stubs."""
    python = new_environment(tmp_path_factory.mktemp("stubs") / "venv")
    plant(site_packages(python), listed())
    return python


@pytest.mark.colab
def test_pip_plans_to_install_only_what_colab_lacks(stubs: Path, tmp_path: Path) -> None:
    plan = planned(stubs, copy_of_the_book(tmp_path / "book"), tmp_path / "report.json")
    assert plan.keys() & listed().keys() == set()
    # So the plan was made from the list: the rest of labkit's dependencies is there.
    assert {"labkit", "papermill"} <= plan.keys()


@pytest.mark.colab
def test_pip_would_replace_what_is_too_old(stubs: Path, tmp_path: Path) -> None:
    project = raised(copy_of_the_book(tmp_path / "book"), "ipython")
    assert "ipython" in planned(stubs, project, tmp_path / "report.json").keys() & listed().keys()


@pytest.mark.parametrize(
    "index", [{"PIP_NO_INDEX": "1"}, {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0"}]
)
def test_without_an_index_the_kernel_is_the_running_python(
    index: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "XDG_CACHE_HOME": str(tmp_path)} | index
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(colab_module, "KERNELS", tmp_path)
    colab_module.main()
    assert capsys.readouterr().out == "pinned\n"
    assert sys.executable in (tmp_path / "pinned/kernel.json").read_text()


@dataclass(frozen=True)
class Colab:
    """A machine like Colab's: its Python, and the environment variables of its programs."""

    python: Path
    home: Path
    variables: dict[str, str]

    def run(self, *command: str | Path) -> str:
        """Run a program in Colab's working folder, which is no clone of the book; return what it printed."""
        done = subprocess.run(
            command,
            cwd=self.home / "content",
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Colab:
    """Colab's versions of what labkit uses, installed; torch and torchvision are the running ones."""
    folder = tmp_path_factory.mktemp("colab")
    python = on_top_of(colab()[0], folder / "venv")
    home = folder / "home"
    (home / "content").mkdir(parents=True)
    return Colab(python, home, publish(copy_of_the_book(folder / "origin"), HUB, home))


@pytest.fixture(scope="module")
def bootstrapped(machine: Colab) -> Colab:
    """The same machine after the bootstrap cell."""
    before = installed(machine.python)
    assert before["numpy"] == listed()["numpy"]
    assert "labkit" not in before
    file = machine.home / "bootstrap.py"
    file.write_text(f"{bootstrap(HUB).source}\nimport labkit.commands.main\nprint(labkit.__file__)\n")
    clone = machine.home / "the-lab-book"
    assert machine.run(machine.python, file).split() == [str(clone / "labkit" / "__init__.py")]
    after = installed(machine.python)
    assert {name: after[name] for name in before} == before
    assert after.keys() >= {"labkit", "papermill"}
    return machine


@pytest.mark.colab
def test_the_bootstrap_cell_passes_again_and_does_nothing(bootstrapped: Colab) -> None:
    offline = bootstrapped.variables | {"PATH": "", "PIP_NO_INDEX": "1"}
    before = installed(bootstrapped.python)
    again = Colab(bootstrapped.python, bootstrapped.home, offline)
    again.run(again.python, again.home / "bootstrap.py")
    assert installed(bootstrapped.python) == before

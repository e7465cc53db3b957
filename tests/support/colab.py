"""An environment like Colab's: its saved list of packages, as stubs for pip or installed for real.

As a program it makes the kernel for the notebooks, in `_build/jupyter`, and prints its name: `colab`, or
`pinned` where no package index answers.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from labkit.paths import cache_folder

BOOK = Path(__file__).resolve().parents[2]
# Too large to install once more: these come from the running environment, in its version.
BORROWED = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")
NO_INDEX = ("from versions: none", "NewConnectionError", "Max retries exceeded")
KERNELS = BOOK / "_build" / "jupyter" / "kernels"


class NoIndex(Exception):
    """No package index answers."""


def listed() -> dict[str, str]:
    """Return the version of each package in `colab.txt`, under its canonical name."""
    lines = (BOOK / "tests" / "support" / "colab.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements(project: Path) -> list[Requirement]:
    """Return what the package in the folder `project` depends on."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    return [Requirement(line) for line in table["project"]["dependencies"]]


def needs_of_torch() -> list[Requirement]:
    """Return what the running torch depends on beside the other large packages."""
    found = map(Requirement, importlib.metadata.requires("torch") or [])
    applies = [need for need in found if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [need for need in applies if not BORROWED.fullmatch(canonicalize_name(need.name))]


def copy_of_the_book(folder: Path) -> Path:
    """Copy the working tree as it is now to `folder`, without what was built in it."""
    built = shutil.ignore_patterns(".git", ".venv", "_build", "runs", "*.egg-info", "__pycache__", ".*_cache")
    return Path(shutil.copytree(BOOK, folder, ignore=built))


def new_environment(folder: Path) -> Path:
    """Make an environment without any package, not even pip; return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def site_packages(python: Path) -> Path:
    [folder] = python.parents[1].glob("lib/python*/site-packages")
    return folder


def pip(python: Path, *arguments: str | Path) -> None:
    """Run the pip of the running environment on the one of `python`.

    Raises NoIndex where no package index answers, else RuntimeError; the message is pip's first error.
    """
    command = [sys.executable, "-m", "pip", "--quiet", "--python", str(python), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or [done.stderr]
        offline = any(phrase in done.stderr for phrase in NO_INDEX)
        raise (NoIndex if offline else RuntimeError)(f"pip {arguments[0]}: {errors[0]}")


def plant(site: Path, packages: dict[str, str]) -> None:
    """Write what pip looks at to see that `packages` are installed, and nothing else of them."""
    for name, version in packages.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "INSTALLER").write_text("pip\n")
        (info / "RECORD").write_text("")


def planned(python: Path, project: Path, report: Path) -> dict[str, str]:
    """Return the packages that pip would install for the package in the folder `project`."""
    pip(python, "install", "--dry-run", "--report", report, project)
    plan = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = [item["metadata"] for item in plan]
    return {canonicalize_name(item["name"]): item["version"] for item in found}


def borrow(site: Path, folder: Path) -> None:
    """Put links to the large packages into `folder`, and `folder` on the path of the environment.

    pip takes them for installed, and as they lie outside of the environment it never removes them.
    """
    folder.mkdir()
    for distribution in importlib.metadata.distributions():
        if BORROWED.fullmatch(canonicalize_name(distribution.name)):
            tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
            for top in tops:
                if not (folder / top).exists():
                    (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
    (site / "borrowed.pth").write_text(f"{folder}\n")


def on_top_of(base: Path, folder: Path) -> Path:
    """Make an environment in `folder` that has what the one of the Python `base` has; return its Python.

    What is installed there leaves the base as it is, and comes first.
    """
    python, below = new_environment(folder), site_packages(base)
    links = (below / "borrowed.pth").read_text(encoding="utf-8")
    (site_packages(python) / "base.pth").write_text(f"{below}\n{links}")
    return python


def installed(python: Path) -> dict[str, str]:
    """Return the packages that the environment of `python` has, in the versions that it would import."""
    code = (
        "import json\nfrom importlib.metadata import distributions\n"
        "print(json.dumps([(d.name, d.version) for d in distributions()]))"
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    return {canonicalize_name(name): version for name, version in reversed(json.loads(done.stdout))}


def colab() -> tuple[Path, Path]:
    """Return two Pythons: Colab's versions of what labkit uses, and on top of them what Colab lacks.

    torch and torchvision are the running ones. Both are made once on a machine, in the cache folder, and
    again when Colab's list, labkit's dependencies or the running environment change. Raises as `pip` does.
    """
    torch = [importlib.metadata.version(name) for name in ("torch", "torchvision")]
    made_of = [listed(), [str(need) for need in requirements(BOOK)], torch, sys.prefix, sys.version]
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    folder = cache_folder() / "colab" / key
    pythons = folder / "base" / "bin" / "python", folder / "ready" / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _install(folder)
            (folder / "whole").touch()
    return pythons


def _install(folder: Path) -> None:
    base = new_environment(folder / "base")
    # Without constraints pip tells a silent index from versions that do not fit together.
    pip(base, "install", "--dry-run", "--no-deps", f"ipykernel=={listed()['ipykernel']}")
    borrow(site_packages(base), folder / "borrowed")
    # The running torch may be newer than Colab's, and need something newer with it.
    beside_torch = {canonicalize_name(need.name): need for need in needs_of_torch()}
    exact = {
        name: version
        for name, version in listed().items()
        if not BORROWED.fullmatch(name)
        and (name not in beside_torch or version in beside_torch[name].specifier)
    }
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(f"{name}=={version}" for name, version in exact.items()))
    needs = requirements(BOOK)
    direct = {canonicalize_name(need.name) for need in needs} | {"ipykernel", "pip"}
    wanted = [*sorted(direct & exact.keys()), *map(str, beside_torch.values())]
    pip(base, "install", "--no-compile", "--constraint", constraints, *wanted)
    ready = on_top_of(base, folder / "ready")
    pip(ready, "install", "--no-compile", *map(str, needs))


def write_kernel(name: str, python: Path) -> None:
    """Write a kernel for `python`, in which labkit is that of this working tree, to `KERNELS`."""
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": name, "language": "python", "env": {"PYTHONPATH": str(BOOK)}}
    (KERNELS / name).mkdir(parents=True, exist_ok=True)
    (KERNELS / name / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def publish(project: Path, url: str, home: Path) -> dict[str, str]:
    """Make a repository of `project` and return the environment variables under which git finds it at `url`.

    `home` becomes the home folder; pip's settings and cache stay those of the user.
    """
    settings = home / "gitconfig"
    settings.write_text(f'[user]\n name = A\n email = a@b\n[url "{project.as_uri()}"]\n insteadOf = {url}\n')
    cache = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=True
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(settings),
        "PIP_CACHE_DIR": cache.stdout.strip(),
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "the book"]):
        subprocess.run(["git", *arguments], cwd=project, env=environment, check=True)
    return environment


def main() -> None:
    """Make the kernel and print its name; why it is not Colab's goes to stderr."""
    try:
        name, python = "colab", colab()[1]
    except NoIndex as error:
        name, python = "pinned", Path(sys.executable)
        print(f"notebooks run under the pinned versions, not under Colab's: {error}", file=sys.stderr)
    write_kernel(name, python)
    print(name)


if __name__ == "__main__":
    main()

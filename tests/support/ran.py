"""After `make test`: what ran is what exists, in the right kernel and within its time.

Reads the two junit reports and prints one closing line.
"""

from __future__ import annotations

import os
import shutil
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from colab import listed

from labkit.chapters.chapter import chapters
from labkit.data import store
from labkit.data.sources.registry import SOURCES
from labkit.data.weights import WEIGHTS
from labkit.machine import cores
from labkit.paths import book_root, data_folder, weights_file

NEEDS_DATA = "needs real data: cifar10.npz in the folder that LABKIT_DATA names"
NEEDS_WEIGHTS = (
    "needs the public weights, and the set they are tested on, in the folder that LABKIT_DATA names"
)
NEEDS_SETS = "needs all real sets in the folder that LABKIT_DATA names"
NEEDS_BROWSER = "needs chromium, chromedriver and npm"
NEEDS_CORES = "needs two cores"
# Seconds of processor time for the cells of a notebook, on one thread: twice what a chapter may take on an
# idle core, since a core that does something else beside it, on its other thread, counts up to twice as many.
LIMIT = 60.0
UNDER = {
    "colab": "under Colab's versions",
    "pinned": "under the pinned versions, as no package index answered: not tried under Colab's",
}


def has_real_data() -> bool:
    """Return whether LABKIT_DATA names a folder with CIFAR-10 (the user's cache folder does not count)."""
    return bool(os.environ.get("LABKIT_DATA")) and (data_folder() / "cifar10.npz").is_file()


def has_weights(name: str) -> bool:
    """Return whether the data folder has the weights of `name` and the data set that its name begins with."""
    return weights_file(name).is_file() and (data_folder() / f"{name.split('_')[0]}.npz").is_file()


def has_browser() -> bool:
    """Return whether there is what the tests of the built pages need."""
    return all(shutil.which(program) for program in ("chromium", "chromedriver", "npm"))


def may_skip(reason: str) -> bool:
    """Return whether `reason` to skip a test holds here; a CI machine must have a browser."""
    if reason == NEEDS_BROWSER:
        return not has_browser() and not os.environ.get("CI")
    if reason == NEEDS_WEIGHTS:
        return not all(map(has_weights, WEIGHTS))
    if reason == NEEDS_SETS:
        return not set(SOURCES) <= set(store.available())
    if reason == NEEDS_CORES:
        return cores() < 2
    return reason == NEEDS_DATA and not has_real_data()


@dataclass(frozen=True)
class Case:
    """One test of a report; `state` is passed, failed, or the reason why it was skipped.

    A cell of a notebook has the properties that `cells.py` noted.
    """

    place: str
    name: str
    state: str
    properties: Mapping[str, str] = field(default_factory=dict)


def cases(report: Path) -> list[Case]:
    """Return the tests in a junit report; none where there is no report."""
    found = []
    for element in ET.parse(report).iter("testcase") if report.is_file() else ():
        skipped = element.find("skipped")
        # Beside its properties, a test that passed has nothing to tell.
        state = "passed" if {child.tag for child in element} <= {"properties"} else "failed"
        if skipped is not None:
            # An expected failure is reported as skipped too; its message is none that `may_skip` knows.
            state = skipped.get("message", "skipped")
        properties = {each.get("name", ""): each.get("value", "") for each in element.iter("property")}
        found.append(Case(element.get("classname", ""), element.get("name", ""), state, properties))
    return found


def problems(root: Path, tests: list[Case], cells: list[Case]) -> Iterable[str]:
    """Yield a line for each thing that exists and did not run, or ran and did not pass."""
    for case in tests + cells:
        if case.state == "failed":
            yield f"failed: {case.place} {case.name}"
        elif case.state != "passed" and (case in cells or not may_skip(case.state)):
            yield f"skipped: {case.place} {case.name}: {case.state}"

    for path in sorted((root / "tests").rglob("test_*.py")):
        # The place is tests.test_x, tests.pages.test_x or tests.test_x.TestClass.
        states = {case.state for case in tests if path.stem in case.place.split(".")}
        excused = states == {NEEDS_BROWSER} and may_skip(NEEDS_BROWSER)
        if "passed" not in states and not excused:
            yield f"{path.relative_to(root)}: no test of it passed"

    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    if len(notebooks) != len(chapters(root)):
        yield f"{len(notebooks)} notebooks for {len(chapters(root))} chapters"
    ran = Counter(case.place for case in cells)
    for path in notebooks:
        code = sum(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells)
        if ran[f"notebooks.{path.name}"] != code:
            yield f"notebooks/{path.name}: {ran[f'notebooks.{path.name}']} of its {code} code cells ran"

    yield from kernel_faults(cells)
    yield from dear_notebooks(cells)


def kernels(cells: list[Case]) -> set[str]:
    """Return the names of the kernels that ran the cells."""
    return {case.properties.get("kernel", "") for case in cells}


def kernel_faults(cells: list[Case]) -> Iterable[str]:
    """Yield a line unless one known kernel ran all cells; the one called colab has Colab's numpy."""
    names = kernels(cells)
    if len(names) != 1 or not names <= UNDER.keys():
        yield f"the kernels of the notebooks are {sorted(names)}, not one of {sorted(UNDER)}"
    elif names == {"colab"}:
        there = {case.properties.get("numpy", "none") for case in cells} - {listed()["numpy"]}
        yield from (f"the kernel colab has numpy {version}, Colab has another" for version in sorted(there))


def dear_notebooks(cells: list[Case]) -> Iterable[str]:
    """Yield a line for each notebook above the limit of time, with its three dearest cells."""
    for place in sorted({case.place for case in cells}):
        seconds = {
            case.name: float(case.properties.get("seconds", 0)) for case in cells if case.place == place
        }
        if (total := sum(seconds.values())) > LIMIT:
            dearest = sorted(seconds, key=lambda name: -seconds[name])[:3]
            named = ", ".join(f"{name} {seconds[name]:.1f} s" for name in dearest)
            yield f"{place} computes for {total:.0f} s, more than {LIMIT:.0f} s; the dearest: {named}"


def main() -> int:
    """Print the problems, then the closing line; return the exit code."""
    root = book_root()
    tests, cells = cases(root / "_build" / "tests.xml"), cases(root / "_build" / "nbval.xml")
    found = list(problems(root, tests, cells))
    for line in found:
        print(line)
    states = Counter(
        case.state if case.state in ("passed", "failed") else "skipped" for case in tests + cells
    )
    under = ", ".join(UNDER.get(name, "under an unknown kernel") for name in sorted(kernels(cells)))
    print(
        f"{states['passed']} passed, {states['failed']} failed, {states['skipped']} skipped; "
        f"notebooks ran {under or 'not at all'}"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

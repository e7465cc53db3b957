"""The built site, its pages, and a browser to read them in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from ran import NEEDS_BROWSER, has_browser
from selenium import webdriver

from labkit.source.files import PACKAGE

from .browser import Browser, chromium, served

ROOT = PACKAGE.parent
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not has_browser():
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=NEEDS_BROWSER))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built from the sources as they are; chapters that are as before are not run."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers: the first builds, the others wait for it
    built = shared / "site-is-built"
    with FileLock(f"{built}.lock"):
        if not built.exists():
            command = [sys.executable, "-m", "labkit", "book"]
            done = subprocess.run(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            assert done.returncode == 0, done.stdout
            built.touch()
    return ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def pages(site: Path) -> list[str]:
    """Every page of the site, as a path below it; the start page, which only leads on, is not among them."""
    paths = [path.relative_to(site) for path in sorted(site.rglob("*.html"))]
    found = [path.as_posix() for path in paths if path.parts[0] != "_static" and str(path) != "index.html"]
    assert {"book/intro.html", "genindex.html", "search.html"} <= set(found)
    return found


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="session", params=["file", "server"])
def address(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    """What the addresses of the site begin with: in the file system, then on a server of this machine."""
    if request.param == "file":
        yield f"{site.as_uri()}/"
    else:
        with served(site) as base:
            yield base


@pytest.fixture
def anywhere(driver: webdriver.Chrome, address: str) -> Browser:
    """A browser for the site at both addresses in turn."""
    return _fresh(driver, address)


@pytest.fixture
def browser(driver: webdriver.Chrome, site: Path) -> Browser:
    """A browser for the site in the file system."""
    return _fresh(driver, f"{site.as_uri()}/")


def _fresh(driver: webdriver.Chrome, base: str) -> Browser:
    browser = Browser(driver, base)
    browser.open("genindex.html")
    browser.ask("localStorage.clear()")
    browser.faults()
    return browser

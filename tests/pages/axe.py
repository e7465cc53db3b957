"""The accessibility checker axe-core, fetched from npm once, kept below `_build`, and known by its hash."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from .browser import Browser

VERSION = "4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
RUN = """const done = arguments[0];
axe.run(document, {resultTypes: ['violations']}).then(
    found => done(found.violations), error => done(`${error}`))"""


def script(folder: Path) -> str:
    """Return axe-core's script, whose archive is kept in `folder`.

    Raises AssertionError where npm cannot get it, or gets another one.
    """
    archive = folder / f"axe-core-{VERSION}.tgz"
    if not archive.is_file():
        command = ["npm", "pack", "--silent", f"axe-core@{VERSION}", "--pack-destination", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"npm cannot get axe-core {VERSION}: {done.stderr}"
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert found == SHA256, f"{archive} is not axe-core {VERSION}: remove it"
    with tarfile.open(archive) as archived:
        file = archived.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


def serious(browser: Browser, axe: str) -> list[str]:
    """Return a line for each serious or critical finding on the page that is open."""
    browser.ask(axe)
    found: Any = browser.driver.execute_async_script(RUN)
    assert isinstance(found, list), found
    return [
        f"{rule['id']}: {node['html'][:120]}: {' '.join(node['failureSummary'].split())[:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]

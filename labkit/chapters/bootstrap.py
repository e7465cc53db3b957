"""The cell that pairing puts on top of a notebook: where labkit is not there, it fetches the book."""

from __future__ import annotations

import re
from typing import Any

import nbformat

TAG = "bootstrap"
CELL = """\
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("labkit") is None:  # on Colab: fetch the book; its torch and numpy stay
    here, url = Path.cwd(), "{address}"
    clones = [folder for folder in (here, *here.parents) if (folder / "labkit").is_dir()]
    folder = [*clones, Path.home() / "the-lab-book"][0]
    if not folder.exists() and not url:
        raise SystemExit("labkit is not here: get the book and type `make lab` in its folder")
    clone = ["git", "clone", "--quiet", "--depth", "1", url, folder]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--editable", folder]
    for step in [install] if folder.exists() else [clone, install]:
        if subprocess.run(step, stdin=subprocess.DEVNULL).returncode:
            raise SystemExit(f"the book is not here and cannot be fetched: {{' '.join(map(str, step))}}")
    sys.path.insert(0, str(folder))"""


def bootstrap(address: str) -> Any:
    """Return the cell for a book that is published at `address`, "" where that is nowhere."""
    return nbformat.v4.new_code_cell(CELL.format(address=address), metadata={"tags": [TAG]})


def is_bootstrap(cell: Any) -> bool:
    """Return whether the cell is tagged as one."""
    return TAG in cell.metadata.get("tags", [])


def address_in(notebook: Any) -> str | None:
    """Return the address that `notebook` was made for; None where it does not say."""
    for cell in notebook.cells:
        if is_bootstrap(cell) and (found := re.search(r'\burl = .*"(.*)"$', cell.source, re.MULTILINE)):
            return found[1]
    return None

"""Which modules of labkit a piece of code imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from labkit.source.files import PACKAGE


def modules_used(sources: Iterable[str], package: Path = PACKAGE) -> dict[str, Path]:
    """Return the modules of labkit that `sources` import, directly or not, as name → file, sorted by name.

    Read from the import statements, wherever they stand, without importing anything: from the sources
    first, then from each module found. Importing a module counts the packages above it as well.
    """
    found: dict[str, Path] = {}
    waiting = list(sources)
    while waiting:
        for name in _imports(waiting.pop()):
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                module = ".".join(parts[:depth])
                path = _file_of(module, package)
                if path is not None and module not in found:
                    found[module] = path
                    waiting.append(path.read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


@cache
def _imports(source: str) -> tuple[str, ...]:
    """Return every dotted name that may be a labkit module in the import statements of `source`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names if alias.name.split(".")[0] == "labkit")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "labkit":
            # `from labkit.a import b`: b may be a module or a name in a; a file decides.
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def _file_of(module: str, package: Path) -> Path | None:
    stem = package.joinpath(*module.split(".")[1:])
    for path in (stem / "__init__.py", stem.with_suffix(".py")):
        if path.is_file():
            return path
    return None

"""Which modules of labkit a piece of code uses, and one hash for all that code."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from labkit.lab.profile import PROFILES, Profile

PACKAGE = Path(__file__).resolve().parent.parent
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def modules_used(
    sources: Iterable[str], package: Path = PACKAGE, closed: Collection[str] = ()
) -> dict[str, Path]:
    """Return the modules of labkit that `sources` import, directly or not, as name → file, sorted by name.

    Read from the import statements, wherever they stand, without importing anything: from the sources
    first, then from each module found. Importing a module counts the packages above it as well. The rooms
    named in `closed` are not entered: neither they nor what only they import is counted.
    """
    found: dict[str, Path] = {}
    waiting = list(sources)
    while waiting:
        for name in _imports(waiting.pop()):
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                module = ".".join(parts[:depth])
                path = _file_of(module, package)
                if path is not None and module not in found and _room(module) not in closed:
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


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _file_of(module: str, package: Path) -> Path | None:
    stem = package.joinpath(*module.split(".")[1:])
    for path in (stem / "__init__.py", stem.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache  # by the text itself: many records, profiles and pages ask for the same modules
def meaning(source: str, profile: Profile | None = None) -> str:
    """Return what `source` does, as a text: its syntax tree without comments, docstrings and formatting.

    With `profile`, what it does in that profile: of each call ``.pick(smoke=a, laptop=b, full=c)`` only that
    value counts. The text is the same for all versions of Python that can read the source.
    """
    tree = ast.parse(source)
    return _meaning(_Picked(profile).visit(tree) if profile else tree)


class _Picked(ast.NodeTransformer):
    """Puts the value for one profile in the place of each choice between profiles."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def visit_Call(self, node: ast.Call) -> ast.AST:  # the name that ast asks for
        self.generic_visit(node)
        values = {keyword.arg: keyword.value for keyword in node.keywords}
        picks = isinstance(node.func, ast.Attribute) and node.func.attr == "pick"
        return values[self.profile] if picks and values.keys() == set(PROFILES) else node


def _meaning(node: object) -> str:
    if isinstance(node, list):
        return f"[{','.join(map(_meaning, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    # Fields that are empty may be new in some version: leave them out.
    told = (f"{name}={_meaning(value)}" for name, value in fields.items() if value not in (None, []))
    return f"{type(node).__name__}({','.join(told)})"


def digest(texts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits of the sha256 over `texts`, in order."""
    hashed = hashlib.sha256()
    for text in texts:
        hashed.update(f"{len(text)}\n".encode())
        hashed.update(text.encode())
    return hashed.hexdigest()[:16]

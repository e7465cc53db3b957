"""Which definitions of labkit an experiment reaches, and a hash for what each of them does.

A definition is a function, a class or a constant at the top of a module. Its hash is that of its meaning,
with its own name blanked and every name of labkit in it replaced by the hash of what the name stands for. So
moving, renaming and adding are free, while another default, base class, decorator, callee or import changes
the hashes of what is changed and of all that refers to it. What the definitions of a module share, such as a
loop at its top, counts for each of them. Code reached by a text (`getattr` with a variable, `importlib`) is
not seen: the rooms that compute have none, which a test holds.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeGuard

from labkit.errors import LabkitError, one_line
from labkit.profile import Profile
from labkit.source.files import Sources
from labkit.source.meaning import Picked, digest, meaning
from labkit.source.scopes import Imports, References, bound, imported

EXPERIMENT = "experiment"  # what the cells of a chapter are called among the definitions they reach
_LOOSE = "(statements)"
Place = tuple[str, str]  # module and name
_HERE = ast.Name("@", ast.Load())  # stands where a definition is referred to


class Cell(NamedTuple):
    """The source of a code cell; one that does not `compute` counts only for what its imports bind."""

    source: str
    computes: bool


class Definition(NamedTuple):
    """One definition: its meaning with all references blanked, and what they refer to, in their order.

    What only its annotations mention is reached as well, and no part of its meaning.
    """

    meaning: str
    refers: tuple[Place, ...]
    mentions: tuple[Place, ...]


class _Module:
    """The top of one module: which statements define a name, what imports bind, what else stands there."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        self.name, self.path = name, path
        self.defined: dict[str, list[ast.stmt]] = {}
        self.imports: Imports = {}
        for statement in tree.body:
            if _for_types_only(statement):
                self.imports |= {each: path for each, path in bound(statement.body).items() if path}
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports |= imported(statement)
                continue
            simple = isinstance(
                statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
            )
            if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
                for each in (simple and bound([statement])) or (_LOOSE,):
                    self.defined.setdefault(each, []).append(statement)
        loose = bound(self.defined.get(_LOOSE, []))
        self.around = self.imports | {each: path or f"{name}.{_LOOSE}" for each, path in loose.items()}
        self.around |= {each: f"{name}.{each}" for each in self.defined}


@cache
def _module(name: str, path: str, text: str) -> _Module:
    return _Module(name, path, ast.parse(text))


def _for_types_only(statement: ast.stmt) -> TypeGuard[ast.If]:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


class Reach:
    """The definitions that an experiment reaches in `sources`, in the rooms of labkit that are not `closed`.

    The names of closed rooms count by themselves, what they stand for does not. What the paths in `always`
    stand for, where there is such a thing, is reached by whatever runs an experiment.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        profile: Profile,
        sources: Sources,
        closed: Collection[str],
        always: Sequence[str] = (),
    ) -> None:
        self._sources, self._closed = sources, closed
        self._read: dict[Place, Definition] = {}
        self._hashes: dict[Place, str] = {}
        self._open: list[Place] = []
        self._read["", EXPERIMENT] = self._experiment(cells, profile)
        self._hash(("", EXPERIMENT))
        for path in always:
            place, _ = self._resolved(path)
            if not isinstance(place, str):
                self._hash(place)
        mentions = [place for read in self._read.values() for place in read.mentions]
        while mentions:
            before = len(self._read)
            for place in mentions:
                self._hash(place)
            mentions = [place for read in list(self._read.values())[before:] for place in read.mentions]

    def hashes(self) -> dict[str, str]:
        """Return name → hash of all definitions, sorted by name; the experiment itself is one of them."""
        return dict(sorted((_name(place), value) for place, value in self._hashes.items()))

    def causes(self, old: Mapping[str, str]) -> list[str]:
        """Return the names of the definitions that differ from `old` by themselves, sorted.

        That is: not only because something they refer to does.
        """
        now, was, found = self.hashes(), set(old.values()), []
        for place, definition in self._read.items():
            name = _name(place)
            if now[name] in was:
                continue
            refers = [old.get(_name(other), self._hashes[other]) for other in definition.refers]
            if name not in old or digest([definition.meaning, *refers]) != old[name]:
                found.append(name)
        return sorted(found)

    def lines(self, name: str) -> tuple[str, list[int]]:
        """Return the file of a definition, such as ``labkit/errors.py``, and the numbers of its lines."""
        [(module_name, own)] = [place for place in self._hashes if place[0] and _name(place) == name]
        module = self._module(module_name)
        assert module is not None
        numbers: list[int] = []
        for statement in module.defined[own]:
            decorators = getattr(statement, "decorator_list", [])
            first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
            numbers += range(first, (statement.end_lineno or first) + 1)
        return module.path, numbers

    def _hash(self, place: Place) -> str:
        if place in self._open:  # definitions that refer to each other: how far up
            return f"^{len(self._open) - self._open.index(place)}"
        if place not in self._hashes:
            self._open.append(place)
            definition = self._definition(place)
            self._hashes[place] = digest([definition.meaning, *map(self._hash, definition.refers)])
            self._open.pop()
        return self._hashes[place]

    def _definition(self, place: Place) -> Definition:
        if place not in self._read:
            module = self._module(place[0])
            assert module is not None
            self._read[place] = self._told(module.defined[place[1]], module.around, module, place[1])
        return self._read[place]

    def _experiment(self, cells: Sequence[Cell], profile: Profile) -> Definition:
        around: Imports = {}
        try:
            trees = [(ast.parse(cell.source), cell.computes) for cell in cells]
        except SyntaxError as error:
            raise LabkitError(f"a cell is not Python: {one_line('SyntaxError', str(error))}") from error
        for tree, _ in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    for name, path in imported(node).items():
                        if around.setdefault(name, path) != path:
                            raise LabkitError(f"{name} is imported twice: {around[name]} and {path}")
        computing = [Picked(profile).visit(tree) for tree, computes in trees if computes]
        return self._told(computing, around)

    def _told(
        self, nodes: Sequence[ast.AST], around: Imports, module: _Module | None = None, name: str = ""
    ) -> Definition:
        refers: list[Place] = []
        mentions: list[Place] = []

        def refer(path: str) -> ast.expr:
            if path.split(".")[0] != "labkit":
                return ast.Name(path, ast.Load())
            place, rest = self._resolved(path)
            if isinstance(place, str):
                told: ast.expr = ast.Name(place, ast.Load())
            elif module and place == (module.name, name):
                told = ast.Name("itself", ast.Load())
            else:
                refers.append(place)
                told = _HERE
            for attribute in rest:
                told = ast.Attribute(told, attribute, ast.Load())
            return told

        def mention(path: str) -> None:
            place, _ = self._resolved(path) if path.startswith("labkit.") else (path, [])
            if not isinstance(place, str):
                mentions.append(place)

        texts = []
        for node in copy.deepcopy(list(nodes)):
            if module:
                _take_name(node)
            texts.append(meaning(References(around, refer, mention).visit(node)))
        if module and name != _LOOSE and _LOOSE in module.defined:
            refers.append((module.name, _LOOSE))
        return Definition("\n".join(texts), tuple(refers), tuple(mentions))

    def _resolved(self, path: str) -> tuple[str | Place, list[str]]:
        """Return the place that a path in labkit stands for, and the attributes that are left of it.

        The place is a text where the path leads out of labkit, or into a closed room.
        """
        parts, depth = path.split("."), 1
        if parts[0] != "labkit":
            return path, []
        while depth < len(parts) and self._module(".".join(parts[: depth + 1])):
            depth += 1
        module = self._module(".".join(parts[:depth]))
        if depth == len(parts) or module is None:
            raise LabkitError(f"{path} is used as a whole: name what is used of it")
        if ".".join(parts[:2]) in self._closed or (depth == 1 and "labkit" in self._closed):
            return ".".join(parts[depth:]), []
        name, rest = parts[depth], parts[depth + 1 :]
        if name in module.defined:
            return (module.name, name), rest
        if name in module.around:
            return self._resolved(".".join([module.around[name], *rest]))
        return path, []

    def _module(self, name: str) -> _Module | None:
        stem = name.replace(".", "/")
        for path in (f"{stem}/__init__.py", f"{stem}.py"):
            if (text := self._sources(path)) is not None:
                return _module(name, path, text)
        return None


def _take_name(node: ast.AST) -> None:
    """Take its name from the definition `node`, in place."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            node.name = ""
        case ast.Assign(targets=[ast.Name() as own]) | ast.AnnAssign(target=ast.Name() as own):
            own.id = ""


def _name(place: Place) -> str:
    module, name = place
    return f"{module.removeprefix('labkit.')}.{name}" if module else name


def same_code(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether two experiments reach the same code, whatever its definitions are called."""
    return set(one.values()) == set(other.values())

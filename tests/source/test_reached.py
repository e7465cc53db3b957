"""Which edits of labkit make a chapter's records stale: those that change what its experiment does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from labkit.chapters.chapter import chapters
from labkit.errors import LabkitError
from labkit.lab.provenance import NOT_COMPUTING, experiment_cells
from labkit.source.files import PACKAGE, snapshot
from labkit.source.meaning import digest, meaning
from labkit.source.reached import Cell, Reach, same_code
from labkit.source.scopes import References, bound

Files = dict[str, str]
BOOK = PACKAGE.parent
ALL = {"p01", "p02", "p04", "p07", "p16", "p22"}


@cache
def cells(number: str) -> tuple[Cell, ...]:
    [chapter] = [chapter for chapter in chapters(BOOK) if chapter.number == number]
    return tuple(experiment_cells(chapter.read()))


def reached(number: str, files: Files, edit: Callable[[str], str] = str) -> Reach:
    edited = [Cell(edit(cell.source), cell.computes) for cell in cells(number)]
    return Reach(edited, "laptop", files.get, NOT_COMPUTING)


def path_of(name: str) -> str:
    """Return the file in which a function or class of labkit is defined, wherever that is."""
    [path] = [
        path for path, text in snapshot().items() if re.search(rf"^(def|class) {name}\b", text, re.MULTILINE)
    ]
    return path


def module_of(name: str) -> str:
    return path_of(name).removesuffix(".py").replace("/", ".")


def replace(name: str, old: str, new: str) -> Callable[[Files], Files]:
    """Return the edit of the file that defines `name`: each `old` in it becomes `new`."""

    def edit(files: Files) -> Files:
        path = path_of(name)
        assert old in files[path]
        return files | {path: files[path].replace(old, new)}

    return edit


def add(name: str, text: str) -> Callable[[Files], Files]:
    return lambda files: files | {path_of(name): f"{files[path_of(name)]}\n\n{text}\n"}


def renamed(old: str, new: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"\b{old}\b", new, text)


def everywhere(old: str, new: str) -> Callable[[Files], Files]:
    return lambda files: {path: renamed(old, new)(text) for path, text in files.items()}


def rename_module(name: str, module: str) -> Callable[[Files], Files]:
    """Return the edit that moves the module that defines `name` to `module`, imports included."""

    def edit(files: Files) -> Files:
        path, before = path_of(name), module_of(name)
        moved = {key: text.replace(before, module) for key, text in files.items() if key != path}
        room = f"{module.rpartition('.')[0].replace('.', '/')}/__init__.py"
        return {room: '"""A room."""\n'} | moved | {f"{module.replace('.', '/')}.py": files[path]}

    return edit


def move_random_states(files: Files) -> Files:
    """Move two functions to a module of their own, as `random_states` was meant to be."""
    path = path_of("random_states")
    tree = ast.parse(files[path])
    functions = [
        ast.get_source_segment(files[path], node) or ""
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.endswith("random_states")
    ]
    rest = files[path]
    for function in functions:
        rest = rest.replace(function, "")
    heads = "import random\nfrom typing import Any\n\nimport numpy as np\nimport torch\n\n\n"
    there = {"labkit/chance.py": heads + "\n\n\n".join(functions), path: rest}
    before = module_of("random_states")
    return {
        key: text.replace(f"from {before} import random_states", "from labkit.chance import random_states")
        for key, text in (files | there).items()
    }


SCHEDULE = "def linear(steps):\n    return lambda step: 1 - step / steps"
ATTACK = "def restarts(model, x, y):\n    return pgd(model, x, y, eps=1, step=1, steps=1)"
HELPER = """def _told(callbacks, training):
    for callback in callbacks:
        callback.on_step_end(training)
"""
FREE: dict[str, Callable[[Files], Files]] = {
    "a docstring of fit": replace("fit", "Train `model` in place", "Improve `model` in place"),
    "another network beside resnet20": add("ResNet", "def resnet32():\n    return ResNet(5)"),
    "a schedule beside the callbacks": add("LearningRate", SCHEDULE),
    "another attack beside pgd": add("pgd", ATTACK),
    "SAM moves to another room": rename_module("SAM", "labkit.nearby.ascent"),
    "random_states moves to a module of its own": move_random_states,
    "numbered is called stream everywhere": everywhere("numbered", "stream"),
    "the permissions of files that are written": replace("write_atomically", "0o644", "0o600"),
}
SEEN: dict[str, tuple[Callable[[Files], Files], set[str], set[str]]] = {
    "fit trains in eval mode": (replace("fit", "model.train()", "model.eval()"), ALL, {"fit"}),
    "the default of Recipe.momentum": (
        replace("Recipe", "momentum: float = 0.9", "momentum: float = 0.8"),
        {"p01", "p02", "p04", "p07", "p16"},
        {"Recipe"},
    ),
    "an import bound to another function": (
        replace("WeightNoise", "import gaussian\n", "import with_noise as gaussian\n"),
        {"p04"},
        {"WeightNoise"},
    ),
    "one callee exchanged for another": (
        replace("loss_rise", "= worst_nearby(model, x, y, rho,", "= with_noise(model, x, y, rho,"),
        {"p04"},
        {"loss_rise"},
    ),
    "two lines of fit become a helper": (
        lambda files: add("fit", HELPER)(
            replace(
                "fit",
                "        for callback in callbacks:\n            callback.on_gradient(training)\n",
                "        _told(callbacks, training)\n",
            )(files)
        ),
        ALL,
        {"fit", "_told"},
    ),
    "a base class": (
        replace("KeepMask", "class KeepMask(Callback)", "class KeepMask"),
        {"p01"},
        {"KeepMask"},
    ),
    "a decorator": (replace("logits", "@torch.no_grad()\n", ""), ALL, {"logits"}),
    "a method of what is only annotated": (
        replace("Images", "def first(self", "@property\n    def first(self"),
        ALL,
        {"Images"},
    ),
    "the loss of the gates, imported in a cell that draws": (
        replace("GateLoss", "self.", "self. "),
        set(),
        set(),
    ),
    "a number in the loss of the gates": (replace("GateLoss", "0.6, 0.4", "0.6, 0.5"), {"p02"}, {"A", "B"}),
}


def stale(edit: Callable[[Files], Files], in_cells: Callable[[str], str] = str) -> dict[str, set[str]]:
    """Return the chapters that an edit makes stale, each with the names it gives as the cause."""
    before, after = snapshot(), edit(snapshot())
    assert after != before
    found = {}
    for number in ALL:
        old, new = reached(number, before), reached(number, after, in_cells)
        if not same_code(old.hashes(), new.hashes()):
            found[number] = {name.rpartition(".")[2] for name in new.causes(old.hashes())}
        else:
            assert new.causes(old.hashes()) == []
    return found


@pytest.mark.parametrize("name", FREE)
def test_moving_renaming_and_adding_are_free(name: str) -> None:
    before, after = module_of("SAM"), "labkit.nearby.ascent"
    assert stale(FREE[name], lambda cell: cell.replace(before, after) if "SAM" in name else cell) == {}


@pytest.mark.parametrize("name", SEEN)
def test_a_changed_meaning_is_seen_and_named(name: str) -> None:
    edit, numbers, causes = SEEN[name]
    found = stale(edit)
    assert set(found) == numbers
    assert all(named == causes for named in found.values()), found


def rebound(source: str) -> str:
    return re.sub(
        r"(batch_shaping import\b.*) GateLoss,", r"\1 GateSchedule as GateLoss,", source, flags=re.MULTILINE
    )


def test_what_only_a_drawing_cell_imports_is_reached() -> None:
    [gates] = [name for name in reached("p02", snapshot()).hashes() if name.endswith(".GateLoss")]
    before = reached("p02", snapshot()).hashes()
    after = reached("p02", snapshot(), rebound)
    assert gates in before
    assert not same_code(before, after.hashes())


def one(text: str, cell: str, more: Files | None = None, profile: str = "laptop") -> Reach:
    """Return what a cell reaches in a package of one module, `labkit.room.one`."""
    files = {"labkit/__init__.py": "", "labkit/room/__init__.py": "", "labkit/room/one.py": text}
    return Reach([Cell(cell, True)], profile, (files | (more or {})).get, ("labkit", "labkit.shut"))


CELL = "from labkit.room.one import f\nf(1)"
ALIKE = {
    "a comment": ("def f(x): return x", "def f(x):\n    return x  # as it is"),
    "a docstring": ("def f(x): return x", 'def f(x):\n    """Return x."""\n    return x'),
    "an annotation": ("def f(x): return x", "def f(x: int) -> int: return x"),
    "an alias": (
        "from torch import nn\ndef f(x): return nn.ReLU()(x)",
        "import torch\ndef f(x): return torch.nn.ReLU()(x)",
    ),
    "what is not used": ("def f(x): return x", "from os import path\nA = 1\ndef f(x): return x"),
    "the name of a helper": (
        "def g(x): return f2(x)\ndef f2(x): return x\ndef f(x): return g(x)",
        "def h(x): return f3(x)\ndef f3(x): return x\ndef f(x): return h(x)",
    ),
    "the name of a class whose field it is": (
        "class A: x = 1\n@dataclass\nclass B:\n    a: A\ndef f(x): return B(x)",
        "class C: x = 1\n@dataclass\nclass D:\n    a: C\ndef f(x): return D(x)",
    ),
    "an import inside": (
        "from labkit.room.two import g\ndef f(x): return g(x)",
        "def f(x):\n    from labkit.room import two\n    return two.g(x)",
    ),
}
OTHER = {
    "a default": ("def f(x, y=1): return x", "def f(x, y=2): return x"),
    "a constant": ("A = 1\ndef f(x): return A", "A = 2\ndef f(x): return A"),
    "what an external import binds": (
        "from torch import float32 as t\ndef f(x): return t",
        "from torch import float64 as t\ndef f(x): return t",
    ),
    "what a loop at the top does": (
        "def f(x): return x\nfor i in range(3): print(i)",
        "def f(x): return x\nfor i in range(4): print(i)",
    ),
    "which of two callees": (
        "def a(x): return 1\ndef b(x): return 2\ndef f(x): return a(x) - b(x)",
        "def a(x): return 1\ndef b(x): return 2\ndef f(x): return b(x) - a(x)",
    ),
    "functions that call each other": (
        "def g(x): return f(x - 1)\ndef f(x): return g(x)",
        "def g(x): return f(x - 2)\ndef f(x): return g(x)",
    ),
    "a method, where a parameter elsewhere has the name of what it calls": (
        "def g(x): return 1\nclass f:\n    def a(self, g): return g\n    def b(self, x): return g(x)",
        "def g(x): return 2\nclass f:\n    def a(self, g): return g\n    def b(self, x): return g(x)",
    ),
    "the first iterable of a comprehension": (
        "def g(x): return 1\ndef f(x): return [g for g in g(x)]",
        "def g(x): return 2\ndef f(x): return [g for g in g(x)]",
    ),
    "the import inside a function": (
        "def f(x):\n    from labkit.room.two import g\n    return g(x)",
        "def f(x):\n    from labkit.room.two import h as g\n    return g(x)",
    ),
    "a field that is a class variable": (
        "@dataclass\nclass f:\n    a: int = 0",
        "@dataclass\nclass f:\n    a: ClassVar[int] = 0",
    ),
    "a changed attribute of a table": (
        "A = {}\nA['x'] = 1\ndef f(x): return A",
        "A = {}\ndef f(x): return A",
    ),
}
TWO = {"labkit/room/two.py": "def g(x): return x\ndef h(x): return -x"}


@pytest.mark.parametrize("name", ALIKE)
def test_what_does_the_same_has_the_same_hashes(name: str) -> None:
    before, after = ALIKE[name]
    assert same_code(one(before, CELL, TWO).hashes(), one(after, CELL, TWO).hashes())


@pytest.mark.parametrize("name", OTHER)
def test_what_does_something_else_has_others(name: str) -> None:
    before, after = OTHER[name]
    assert not same_code(one(before, CELL, TWO).hashes(), one(after, CELL, TWO).hashes())


def test_a_closed_room_counts_by_the_names_that_are_used() -> None:
    source = "from labkit.shut.door import handle as h\nh.turn()"
    for text in ("handle = 1", "handle = 2"):
        shut = {"labkit/shut/__init__.py": "", "labkit/shut/door.py": text}
        assert list(one("", source, shut).hashes()) == ["experiment"]
    shut = {"labkit/shut/__init__.py": "", "labkit/shut/door.py": ""}
    assert not same_code(
        one("", source, shut).hashes(), one("", source.replace("turn", "push"), shut).hashes()
    )


def test_only_the_sizes_of_the_profile_count() -> None:
    source = "n = lab.pick(smoke={}, laptop={}, full=max(1, lab.pick(smoke=2, laptop=3, full={})))"

    def hashes(*sizes: int, profile: str = "laptop") -> dict[str, str]:
        return one("", source.format(*sizes), profile=profile).hashes()

    assert same_code(hashes(1, 5, 9), hashes(100, 5, 900))
    assert not same_code(hashes(1, 5, 9), hashes(1, 6, 9))
    assert same_code(hashes(1, 5, 9, profile="full"), hashes(2, 6, 9, profile="full"))
    assert same_code(hashes(1, 5, 9), one("", "n = 5").hashes())


def test_a_name_that_two_cells_import_from_two_places_is_refused() -> None:
    source = "from labkit.room.two import g\nfrom labkit.room.one import g\ng(1)"
    with pytest.raises(LabkitError, match="g is imported twice"):
        one("def g(x): return x", source, TWO)


def test_a_cell_that_is_not_python_is_refused() -> None:
    with pytest.raises(LabkitError, match="a cell is not Python: SyntaxError"):
        one("", "n = = 1")


def test_a_module_used_as_a_whole_is_refused() -> None:
    with pytest.raises(LabkitError, match=r"labkit\.room\.one is used as a whole"):
        one("A = 1", "from labkit.room import one\nprint(vars(one))")


def computing_files() -> list[Path]:
    rooms = {name.removeprefix("labkit.") for name in NOT_COMPUTING}
    return [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in rooms]


def reaches_by_text(tree: ast.AST) -> list[str]:
    """Return what in a module finds definitions by a text that is not in the code."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="getattr" | "globals" | "vars" | "eval" | "exec" | "__import__")):
                fixed = len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
                found += [] if fixed else [ast.unparse(node)]
            case ast.Global() | ast.Call(func=ast.Attribute(attr="import_module")):
                found.append(ast.unparse(node))
    return found


def test_the_rooms_that_compute_reach_nothing_by_a_text() -> None:
    files = computing_files()
    assert len(files) > 40
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert reaches_by_text(tree) == [], path
        if path.name == "__init__.py" and path.parent != PACKAGE:
            assert ast.get_docstring(tree), path
            assert len(tree.body) == 1, f"{path} does more than describe its room"


@pytest.mark.parametrize("code", ["getattr(a, name)", "globals()['f']", "importlib.import_module(n)"])
def test_reaching_by_a_text_is_noticed(code: str) -> None:
    assert reaches_by_text(ast.parse(code))
    assert not reaches_by_text(ast.parse("getattr(a, 'b', None)"))


@pytest.mark.parametrize("number", [chapter.number for chapter in chapters(BOOK)])
def test_no_experiment_uses_a_name_that_only_a_silent_cell_computes(number: str) -> None:
    trees = {
        computes: [ast.parse(cell.source) for cell in cells(number) if cell.computes is computes]
        for computes in (True, False)
    }
    own, silent = (
        {name for tree in trees[computes] for name, path in bound(tree.body).items() if path is None}
        for computes in (True, False)
    )
    used: list[str] = []
    for tree in trees[True]:
        References(
            {name: name for name in silent - own}, lambda path: used.append(path) or ast.Name(path), print
        ).visit(tree)
    assert used == []


def test_the_meaning_is_the_same_text_in_every_python() -> None:
    assert meaning(ast.parse("f(x)\n")) == (
        "Module(body=[Expr(value=Call(func=Name(id='f',ctx=Load()),args=[Name(id='x',ctx=Load())]))])"
    )


def test_a_digest_tells_texts_apart() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab"]) == digest(["ab"])
    assert len(digest([])) == 16

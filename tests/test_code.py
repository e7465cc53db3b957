"""Which modules a chapter uses, and what changes their hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.lab.code import digest, meaning, modules_used


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "labkit"
    for name, text in {
        "__init__.py": "",
        "a/__init__.py": "",
        "a/one.py": "from labkit.b.two import thing\n",
        "a/lazy.py": "def f():\n    import labkit.b.three\n",
        "b/__init__.py": "",
        "b/two.py": "thing = 1\n",
        "b/three.py": "import numpy\n",
        "c/__init__.py": "",
        "c/door.py": "from labkit.b import three\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names(package: Path, source: str, closed: tuple[str, ...] = ()) -> set[str]:
    return {name.removeprefix("labkit.") for name in modules_used([source], package, closed)}


def test_imports_are_followed_through_other_modules(package: Path) -> None:
    assert names(package, "from labkit.a.one import x") == {"labkit", "a", "a.one", "b", "b.two"}
    assert names(package, "import labkit.a.lazy") == {"labkit", "a", "a.lazy", "b", "b.three"}
    assert names(package, "from labkit.b import two, thing") == {"labkit", "b", "b.two"}
    assert names(package, "import numpy, labkitten") == set()


def test_a_closed_room_is_not_entered(package: Path) -> None:
    source = "from labkit.c.door import x\nfrom labkit.a.one import y"
    assert names(package, source, ("labkit.c",)) == {"labkit", "a", "a.one", "b", "b.two"}
    assert names(package, source) >= {"c", "c.door", "b.three"}


WRITTEN = '''"""Module."""
# a comment
def f(x):
    """Docstring
    of two lines."""
    return "# no comment"  # why

class C:
    """Docstring."""
    x = """not a docstring"""
'''


SHORTER = '''def f(x): return '# no comment'
class C: x = """not a docstring"""
'''


def test_comments_docstrings_and_formatting_do_not_count() -> None:
    assert meaning(WRITTEN) == meaning(SHORTER)


@pytest.mark.parametrize(
    ("old", "new"),
    [("no comment", "comment"), ("def f(x)", "def f(x=None)"), ("not a", "a"), ("class C", "class D")],
)
def test_what_the_code_does_counts(old: str, new: str) -> None:
    assert meaning(WRITTEN.replace(old, new)) != meaning(WRITTEN)


PICKING = "n = lab.pick(smoke={}, laptop={}, full=max(1, lab.pick(smoke=2, laptop=3, full={})))"


def test_only_the_values_of_the_profile_asked_for_count() -> None:
    before = PICKING.format(1, 5, 9)
    assert meaning(before, "laptop") == meaning(PICKING.format(100, 5, 900), "laptop")
    assert meaning(before, "laptop") == meaning("n = 5")
    assert meaning(before, "laptop") != meaning(PICKING.format(1, 6, 9), "laptop")
    assert meaning(before, "full") == meaning("n = max(1, 9)")
    assert meaning(before) != meaning(PICKING.format(100, 5, 9))  # a module serves all profiles


@pytest.mark.parametrize(
    "call", ["pick(smoke=1, laptop=2, full=3)", "lab.pick(1)", "lab.pick(smoke=1, laptop=2)"]
)
def test_other_calls_count_whole(call: str) -> None:
    assert meaning(call, "laptop") == meaning(call)


def test_the_meaning_is_the_same_text_in_every_python() -> None:
    assert meaning("f(x)\n") == (
        "Module(body=[Expr(value=Call(func=Name(id='f',ctx=Load()),args=[Name(id='x',ctx=Load())]))])"
    )


def test_a_digest_tells_texts_apart() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab"]) == digest(["ab"])
    assert len(digest([])) == 16

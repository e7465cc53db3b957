"""Which modules a piece of code uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.source.modules import modules_used


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
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names(package: Path, source: str) -> set[str]:
    return {name.removeprefix("labkit.") for name in modules_used([source], package)}


def test_imports_are_followed_through_other_modules(package: Path) -> None:
    assert names(package, "from labkit.a.one import x") == {"labkit", "a", "a.one", "b", "b.two"}
    assert names(package, "import labkit.a.lazy") == {"labkit", "a", "a.lazy", "b", "b.three"}
    assert names(package, "from labkit.b import two, thing") == {"labkit", "b", "b.two"}
    assert names(package, "import numpy, labkitten") == set()

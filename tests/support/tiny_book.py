"""A book of two chapters that is built in seconds, on its own copy of labkit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from trial import HEADER

from labkit.source.files import PACKAGE

HUB = "https://github.com/the-lab-book/the-lab-book"
CONFIG = PACKAGE.parent / "_config.yml"
TOC = "format: jb-book\nroot: book/intro\nchapters:\n  - file: book/c1-red\n  - file: book/c2-blue\n"
CHAPTER = """# A chapter on {name}

It prints what the module says, and draws a small picture of it.

```{{code-cell}} ipython3
from labkit.{module} import word

print("the word is", word())
```

```{{code-cell}} ipython3
---
mystnb:
  image:
    alt: A square of one colour.
---
from IPython.display import Image, display
import base64

display(Image(base64.b64decode("{png}")))
```
"""
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def write_book(root: Path) -> None:
    """Write a book of two chapters, `c1-red` and `c2-blue`, with a package of its own."""
    for path in PACKAGE.rglob("*.py"):
        copy = root / "labkit" / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    # red imports paint, blue stands alone.
    (root / "labkit/paint.py").write_text('COLOUR = "crimson"\n')
    (root / "labkit/red.py").write_text(
        "def word():\n    from labkit.paint import COLOUR\n    return COLOUR\n"
    )
    (root / "labkit/blue.py").write_text('def word():\n    return "azure"\n')
    for folder in ("_static", "_templates"):
        shutil.copytree(CONFIG.parent / "book" / folder, root / "book" / folder)
    config = CONFIG.read_text(encoding="utf-8")
    (root / "_config.yml").write_text(config.replace('url: ""', f"url: {HUB}"))
    (root / "_toc.yml").write_text(TOC)
    (root / "requirements.txt").write_text("numpy==2\n")
    (root / "book/references.bib").write_text("")
    (root / "book/intro.md").write_text(
        "# A book\n\nIt has [red](c1-red.md), [blue](c2-blue.md) and $a^2$.\n"
    )
    (root / "notebooks").mkdir()
    for slug, module in (("c1-red", "red"), ("c2-blue", "blue")):
        text = CHAPTER.format(name=module, module=module, png=PNG)
        (root / f"book/{slug}.md").write_text(HEADER + text)
        (root / f"notebooks/{slug}.ipynb").write_text("{}")


def build(root: Path, **options: Any) -> tuple[int, str]:
    """Run `labkit book` on the book's own copy of labkit; `options` are those of the process."""
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    options["env"] = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-m", "labkit", "book"], cwd=root, **options)
    return done.returncode, done.stdout


def executed(output: str) -> list[str]:
    """Return the chapters that a build says it has executed, by name: side by side either may end first."""
    return sorted(re.findall(r"^(\S+): executed in", output, re.MULTILINE))

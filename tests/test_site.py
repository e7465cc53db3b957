"""The website: built in a small book of two chapters with a package of its own, and checked for faults."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.errors import LabkitError
from labkit.lab.code import PACKAGE
from labkit.site.build import build
from labkit.site.check import check

CONFIG = PACKAGE.parent / "_config.yml"
TOC = "format: jb-book\nroot: book/intro\nchapters:\n  - file: book/c1-red\n  - file: book/c2-blue\n"
FRONT = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  name: python3
---
"""
CHAPTER = """
# A chapter on {name}

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


def _write_book(root: Path) -> None:
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
    shutil.copy(CONFIG, root)
    (root / "_toc.yml").write_text(TOC)
    (root / "requirements.txt").write_text("numpy==2\n")
    (root / "book/references.bib").write_text("")
    (root / "book/intro.md").write_text(
        "# A book\n\nIt has [red](c1-red.md), [blue](c2-blue.md) and $a^2$.\n"
    )
    (root / "notebooks").mkdir()
    for slug, module in (("c1-red", "red"), ("c2-blue", "blue")):
        text = CHAPTER.format(name=module, module=module, png=PNG)
        (root / f"book/{slug}.md").write_text(FRONT + text)
        (root / f"notebooks/{slug}.ipynb").write_text("{}")


def _build(root: Path) -> tuple[int, str]:
    """Run `python -m labkit.site` on the book's own copy of labkit."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "labkit.site"]
    done = subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def _executed(output: str) -> list[str]:
    return re.findall(r"^(\S+): executed in", output, re.MULTILINE)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("book")
    _write_book(root)
    code, output = _build(root)
    assert code == 0, output
    assert _executed(output) == ["c1-red", "c2-blue"]
    assert "3 pages, 2 chapters, 4 code cells, 2 chapters executed" in output
    return root


@pytest.fixture
def site(book: Path, tmp_path: Path) -> Path:
    """A copy of the built book, free to be damaged; no execution depends on it."""
    shutil.copytree(book, tmp_path / "copy")
    return tmp_path / "copy"


def _page(root: Path, slug: str) -> str:
    return (root / f"_build/html/book/{slug}.html").read_text()


def test_a_second_build_executes_nothing(book: Path) -> None:
    code, output = _build(book)
    assert code == 0, output
    assert _executed(output) == []
    assert "c1-red: 2 code cells, from the cache" in output


def test_an_edited_module_is_seen_through_the_module_that_imports_it(book: Path) -> None:
    (book / "labkit/paint.py").write_text('COLOUR = "vermilion"\n')
    code, output = _build(book)
    assert code == 0, output
    assert _executed(output) == ["c1-red"]
    assert "the word is vermilion" in _page(book, "c1-red")


def test_a_new_record_is_seen_by_its_chapter_alone(book: Path) -> None:
    record = book / "results/c2-blue/laptop/seed-0.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    code, output = _build(book)
    assert code == 0, output
    assert _executed(output) == ["c2-blue"]


def test_a_failing_cell_stops_the_build_also_after_a_good_one(book: Path) -> None:
    good = (book / "labkit/blue.py").read_text()
    (book / "labkit/blue.py").write_text('def word():\n    raise ValueError("no such colour")\n')
    for _ in range(2):
        code, output = _build(book)
        assert code == 1
        assert "Error: Failing cell: c2-blue, code cell 1 of 2: ValueError: no such colour" in output
        assert not (book / "_build/html").exists()
    (book / "labkit/blue.py").write_text(good)
    code, output = _build(book)
    assert code == 0, output
    assert _executed(output) == []


def test_plain_jupyter_book_stops_at_a_failing_cell_too(site: Path) -> None:
    (site / "labkit/red.py").write_text('def word():\n    raise ValueError("no such colour")\n')
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(site)]
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "c1-red, code cell 1 of 2: ValueError: no such colour" in done.stderr


def test_a_moved_page_leads_on_and_a_wrong_redirect_stops_the_build(book: Path) -> None:
    redirects = book / "book/redirects.yml"
    redirects.write_text("book/c3-green: book/c2-blue\n")
    code, output = _build(book)
    assert code == 0, output
    assert '<a href="c2-blue.html">A chapter on blue</a>' in _page(book, "c3-green")
    redirects.write_text("book/c3-green: book/c4-gone\n")
    code, output = _build(book)
    assert code == 1
    assert "Error: Wrong redirect: book/redirects.yml: book/c3-green leads to book/c4-gone" in output
    redirects.unlink()
    code, output = _build(book)
    assert code == 0, output
    assert _executed(output) == []
    assert not (book / "_build/html/book/c3-green.html").exists()


def test_a_warning_stops_every_build_until_it_is_gone(book: Path) -> None:
    intro = book / "book/intro.md"
    good = intro.read_text()
    # Sphinx tells of this one when it reads the page, and not when it takes the page from its store.
    intro.write_text(good + "\n:::{nonsense}\n:::\n")
    for _ in range(2):
        code, output = _build(book)
        assert code == 1
        assert re.search(r"^Error: \S*intro.md:5: .*'nonsense'", output, re.MULTILINE), output
    intro.write_text(good)
    code, output = _build(book)
    assert code == 0, output


def test_formulas_need_no_script(book: Path) -> None:
    page = _page(book, "intro")
    assert "<msup>" in page
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?://', page)


def test_edit_links_stay_on_the_source(book: Path) -> None:
    page = _page(book, "c1-red")
    assert '/edit/main/book/c1-red.md"' in page
    assert '/blob/main/notebooks/c1-red.ipynb"' in page
    assert "?urlpath=lab/tree/notebooks/c1-red.ipynb" in page


def test_a_page_missing_from_the_sources_is_named(site: Path) -> None:
    (site / "book/c1-red.md").unlink()
    with pytest.raises(LabkitError, match=r"^_toc.yml names book/c1-red, but there is no book/c1-red.md$"):
        build(site)
    assert not (site / "_build/html").exists()


def test_another_engine_is_refused(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.1.7")
    with pytest.raises(LabkitError, match=r"^the book needs jupyter-book>=1.0.4,<2, here is 2.1.7"):
        build(book)


def test_a_whole_site_passes(site: Path) -> None:
    check(site)


def test_an_empty_site_is_refused(site: Path) -> None:
    shutil.rmtree(site / "_build/html")
    with pytest.raises(LabkitError, match=r"^the site is empty"):
        check(site)


def test_a_page_that_was_not_built_is_found(site: Path) -> None:
    (site / "_build/html/book/c2-blue.html").unlink()
    with pytest.raises(LabkitError, match=r"book/c2-blue: in _toc.yml, but was not built"):
        check(site)


def test_a_cell_that_was_not_executed_is_found(site: Path) -> None:
    path = site / "_build/jupyter_execute/book/c2-blue.ipynb"
    path.write_text(path.read_text().replace('"execution_count": 2', '"execution_count": null'))
    with pytest.raises(LabkitError, match="c2-blue: code cell 2 of 2 was not executed"):
        check(site)


def test_a_warning_that_the_page_does_not_show_is_found(site: Path) -> None:
    path = site / "_build/jupyter_execute/book/c2-blue.ipynb"
    path.write_text(path.read_text().replace('"name": "stdout"', '"name": "stderr"'))
    check(site)
    path.write_text(path.read_text().replace("the word is", "x.py:1: UserWarning: the word is"))
    with pytest.raises(
        LabkitError, match=r"c2-blue: code cell 1 of 2 warns: x.py:1: UserWarning: the word is azure"
    ):
        check(site)


FAULTS = {
    "empty page": (r"<article.*</article>", "<article><h1>A</h1></article>", "the page is empty"),
    "dead link": (r'href="c2-blue.html', 'href="c9-gone.html', "c9-gone.html leads nowhere"),
    "dead anchor": (r'href="c2-blue.html"', 'href="c2-blue.html#gone"', "#gone has no such anchor"),
    "no description": (r'alt="A square of one colour."', 'alt=""', "has no description"),
    "file name": (r'alt="A square of one colour."', 'alt="../_images/0a1b.png"', "described by a file name"),
    "drawing": ("</article>", '<svg role="img"></svg></article>', "a drawing has no description"),
    "source launched": (
        r"blob/main/notebooks/c1-red.ipynb",
        "blob/main/book/c1-red.md",
        "the button for Colab opens no notebook of this book: .*c1-red.md",
    ),
    "network": ("</article>", '<img src="https://a.org/b.png" alt="B"></article>', "which needs a network"),
    "not tracked": (r"/edit/main/book/c1-red.md", "/edit/main/book/c9.md", "opens no file that git tracks"),
    "no icon": (r'<link rel="icon"[^>]*>', "", "names no icon"),
    "no button": (r"https://mybinder.org", "https://example.org", "c1-red: no button for Binder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_page_is_found(site: Path, fault: str) -> None:
    before, after, finding = FAULTS[fault]
    page = site / "_build/html/book/c1-red.html"
    text, count = re.subn(before, after, page.read_text(), flags=re.DOTALL)
    assert count
    page.write_text(text)
    with pytest.raises(LabkitError, match=f"^[1-9] faults? in .*(?s:.)*{finding}"):
        check(site)


def test_a_button_must_open_a_notebook_that_git_tracks(site: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=site, check=True)
    subprocess.run(["git", "add", "book", "notebooks/c1-red.ipynb"], cwd=site, check=True)
    with pytest.raises(LabkitError) as caught:
        check(site)
    assert "c2-blue: the button for Colab" in str(caught.value)
    assert "c1-red" not in str(caught.value)

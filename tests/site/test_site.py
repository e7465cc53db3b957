"""The website: built in a small book of two chapters with a package of its own, and checked for faults."""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit

import nbformat
import pytest
from tiny_book import HUB, TOC, build, executed, write_book
from tqdm import tqdm

from labkit.chapters.chapter import Chapter
from labkit.chapters.pairing import notebook_from
from labkit.errors import LabkitError
from labkit.lab.record import Record
from labkit.site import build as here
from labkit.site.build import is_sound
from labkit.site.checks.whole import check
from labkit.site.sources import check_sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("book")
    write_book(root)
    code, output = build(root)
    assert code == 0, output
    assert executed(output) == ["c1-red", "c2-blue"]
    assert "3 pages, 2 chapters, 4 code cells, 2 chapters executed" in output
    return root


@pytest.fixture
def site(book: Path, tmp_path: Path) -> Path:
    """A copy of the built book, free to be damaged; no execution depends on it."""
    shutil.copytree(book, tmp_path / "copy")
    return tmp_path / "copy"


EXERCISE = """
```{code-cell} ipython3
:tags: [exercise]

def one():
    # solution
    return 1
    # end


one()
```
"""


def _page(root: Path, slug: str) -> str:
    return (root / f"_build/html/book/{slug}.html").read_text()


def test_a_second_build_executes_nothing(book: Path) -> None:
    code, output = build(book)
    assert code == 0, output
    assert executed(output) == []
    assert "c1-red: 2 code cells, from the cache" in output


def test_an_edited_module_is_seen_through_the_module_that_imports_it(book: Path) -> None:
    (book / "labkit/paint.py").write_text('COLOUR = "vermilion"\n')
    code, output = build(book)
    assert code == 0, output
    assert executed(output) == ["c1-red"]
    assert "the word is vermilion" in _page(book, "c1-red")


def test_a_new_record_is_seen_by_its_chapter_alone(book: Path) -> None:
    Record("c2-blue", "laptop", 0, rows={"R1": [{"word": "blue"}]}).write(book / "results")
    code, output = build(book)
    assert code == 0, output
    assert executed(output) == ["c2-blue"]
    assert (book / "_build/html/_rows/c2-r1.csv").read_text().split() == ["seed,word", "0,blue"]


def test_a_failing_cell_stops_the_build_also_after_a_good_one(book: Path) -> None:
    good = (book / "labkit/blue.py").read_text()
    (book / "labkit/blue.py").write_text('def word():\n    raise ValueError("no such colour")\n')
    for _ in range(2):
        code, output = build(book)
        assert code == 1
        assert "Error: Failing cell: c2-blue, code cell 1 of 2: ValueError: no such colour" in output
        assert not (book / "_build/html").exists()
    (book / "labkit/blue.py").write_text(good)
    code, output = build(book)
    assert code == 0, output
    assert executed(output) == []


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
    code, output = build(book)
    assert code == 0, output
    assert '<a href="c2-blue.html">A chapter on blue</a>' in _page(book, "c3-green")
    redirects.write_text("book/c3-green: book/c4-gone\n")
    code, output = build(book)
    assert code == 1
    assert "Error: Wrong redirect: book/redirects.yml: book/c3-green leads to book/c4-gone" in output
    redirects.unlink()
    code, output = build(book)
    assert code == 0, output
    assert executed(output) == []
    assert not (book / "_build/html/book/c3-green.html").exists()


def test_a_warning_stops_every_build_until_it_is_gone(book: Path) -> None:
    intro = book / "book/intro.md"
    good = intro.read_text()
    # Sphinx tells of this one when it reads the page, and not when it takes the page from its store.
    intro.write_text(good + "\n:::{nonsense}\n:::\n")
    for _ in range(2):
        code, output = build(book)
        assert code == 1
        assert re.search(r"^Error: \S*intro.md:5: .*'nonsense'", output, re.MULTILINE), output
    intro.write_text(good)
    code, output = build(book)
    assert code == 0, output


def test_another_style_reaches_the_site_although_no_page_changed(site: Path) -> None:
    style = site / "book/_static/book.css"
    style.write_text(style.read_text() + "\n.lk-new { color: teal; }\n")
    code, output = build(site)
    assert code == 0, output
    assert executed(output) == []
    assert ".lk-new" in (site / "_build/html/_static/book.css").read_text()


def test_formulas_need_no_script(book: Path) -> None:
    page = _page(book, "intro")
    assert "<msup>" in page
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?://', page)


def test_edit_links_stay_on_the_source(book: Path) -> None:
    page = _page(book, "c1-red")
    assert '/edit/main/book/c1-red.md"' in page
    assert '/blob/main/notebooks/c1-red.ipynb"' in page
    assert "?urlpath=lab/tree/notebooks/c1-red.ipynb" in page


def test_the_download_is_the_notebook_without_solutions(site: Path) -> None:
    source = site / "book/c1-red.md"
    source.write_text(source.read_text() + EXERCISE)
    status, output = build(site)
    assert status == 0, output
    assert 'href="../_sources/book/c1-red.ipynb"' in _page(site, "c1-red")
    there = nbformat.read(site / "_build/html/_sources/book/c1-red.ipynb", 4)
    assert there.cells == notebook_from(Chapter("c1-red", site), HUB).cells
    assert "# your turn" in there.cells[-1].source
    assert not any(cell.get("outputs") for cell in there.cells)


def test_without_an_address_no_button_leads_out(site: Path) -> None:
    config = site / "_config.yml"
    config.write_text(config.read_text().replace(HUB, '""'))
    (site / "book/intro.md").write_text(
        "# A book\n\nIts {repository}`licence <LICENSE>`, [red](c1-red.md).\n"
    )
    status, output = build(site)
    assert status == 0, output
    page = _page(site, "c1-red")
    assert "github.com" not in page
    assert "mybinder" not in page
    assert "colab.research" not in page
    assert 'href="../_sources/book/c1-red.ipynb"' in page
    assert "Its licence, " in _page(site, "intro")
    config.write_text(config.read_text().replace('url: ""', f"url: {HUB}", 1))
    with pytest.raises(LabkitError, match="c1-red: no button for Colab"):
        check(site, site / "_build/html")


def test_an_endless_cell_is_named_with_its_limit(site: Path) -> None:
    config = site / "_config.yml"
    config.write_text(config.read_text().replace("timeout: 600", "timeout: 2"))
    (site / "labkit/blue.py").write_text("import time\n\ndef word():\n    time.sleep(1000)\n")
    code, output = build(site)
    assert code == 1
    finding = "c2-blue, code cell 1 of 2: not done after 2 s, the most that `timeout` in _config.yml allows"
    assert f"Error: Failing cell: {finding}" in output


def _nonsense(before: bytes) -> bytes:
    return b"nonsense\xff"


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "no database": ("global.db", _nonsense),
    "half a database": ("global.db", lambda before: before[:3_000]),
    "an empty database": ("global.db", lambda before: b""),
    # A key of a notebook stands in a row and in the index that leads to it: here one of the two is another.
    "a database at odds": ("global.db", lambda before: re.sub(rb"[0-9a-f]{32}", b"0" * 32, before, count=1)),
    "no notebook": ("executed/*/base.ipynb", lambda before: b"{}"),
    "half a notebook": ("executed/*/base.ipynb", lambda before: before[:300]),
}


def damage(folder: Path, pattern: str, how: Callable[[bytes], bytes]) -> None:
    """Write something else over the first file."""
    path = sorted(folder.glob(pattern))[0]
    path.write_bytes(how(path.read_bytes()))


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_cache_is_noticed(site: Path, kind: str) -> None:
    cache = site / "_build/.jupyter_cache"
    assert is_sound(cache)
    damage(cache, *DAMAGE[kind])
    assert not is_sound(cache)


def test_a_cache_without_one_of_its_notebooks_is_noticed(site: Path) -> None:
    cache = site / "_build/.jupyter_cache"
    next(cache.glob("executed/*/base.ipynb")).unlink()
    assert not is_sound(cache)


def test_what_is_damaged_is_made_again(site: Path) -> None:
    kept = site / "_build"
    for name in (".doctrees/book/c1-red.doctree", "jupyter_execute/book/c2-blue.ipynb", "good"):
        damage(kept, name, _nonsense)
    damage(kept, "html/book/intro.html", lambda before: before[:1_000])
    damage(kept / ".jupyter_cache", *DAMAGE["half a notebook"])
    code, output = build(site)
    assert code == 0, output
    assert "the cache of executed chapters is damaged: all are executed again" in output
    assert executed(output) == ["c1-red", "c2-blue"]
    assert "It has" in _page(site, "intro")


def test_a_disk_that_is_full_or_cannot_be_written_stops_the_build_in_one_line(site: Path) -> None:
    folder = site / "_build"
    shutil.rmtree(folder)
    folder.write_text("in the way")
    error = f"Error: cannot build in {folder}: [Errno 17] File exists: '{folder}'\n"
    assert build(site) == (1, error)

    folder.unlink()
    limit = 40_000  # bytes, for each file
    code, output = build(site, preexec_fn=lambda: setrlimit(RLIMIT_FSIZE, (limit, limit)))
    assert code == 1
    [error] = re.findall(r"^Error: .*", output, re.MULTILINE)
    assert "File too large: " in error
    assert "Traceback" not in output
    assert not (folder / "html").exists()
    code, output = build(site)
    assert code == 0, output


SOURCES = {
    "page gone": ("book/c1-red.md", None, "_toc.yml names book/c1-red, but there is no book/c1-red.md"),
    "page forgotten": (
        "book/data/new.md",
        "# New\n",
        "_toc.yml forgets book/data/new.md: every page of book/ belongs to the book",
    ),
    "page, no text": (
        "book/c2-blue.md",
        b"# \xff",
        "book/c2-blue.md is not UTF-8: .* in position 2: .*",
    ),
    "page twice": ("_toc.yml", f"{TOC}  - file: book/c1-red\n", "_toc.yml: .*'book/c1-red'"),
    "contents, no YAML": ("_toc.yml", "root: [", "_toc.yml is not YAML: .* line 1, column 8.*"),
    "contents, empty": ("_toc.yml", "", "_toc.yml: toc is not a mapping: .*"),
    "contents, no text": (
        "_toc.yml",
        b"\xff",
        "_toc.yml is not YAML: 'utf-8' codec can't decode byte 0xff.*",
    ),
    "config, no YAML": ("_config.yml", "title: 'x", "_config.yml is not YAML: .* line 1, column 10.*"),
    "config, a list": (
        "_config.yml",
        "- x",
        "_config.yml needs lines `name: value`, as jupyter-book 1 reads them",
    ),
}


@pytest.mark.parametrize("fault", SOURCES)
def test_a_fault_of_the_sources_is_named_in_one_line(site: Path, fault: str) -> None:
    name, content, finding = SOURCES[fault]
    path = site / name
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LabkitError) as caught:
        here.build(site)
    assert re.fullmatch(finding, str(caught.value)), caught.value
    assert not (site / "_build/html").exists()


def test_what_is_no_page_may_lie_about(site: Path) -> None:
    for name in ("_static/README.md", ".ipynb_checkpoints/c1-red-checkpoint.md", "draft.txt"):
        (site / "book" / name).parent.mkdir(exist_ok=True)
        (site / "book" / name).write_text("x")
    check_sources(site)


def test_another_engine_is_refused(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.1.7")
    with pytest.raises(LabkitError, match=r"^the book needs jupyter-book>=1.0.4,<2, here is 2.1.7"):
        here.build(site)


def test_a_whole_site_passes(site: Path) -> None:
    check(site, site / "_build/html")


def test_an_empty_site_is_refused(site: Path) -> None:
    shutil.rmtree(site / "_build/html")
    with pytest.raises(LabkitError, match=r"^the site is empty"):
        check(site, site / "_build/html")


def test_a_page_that_was_not_built_is_found(site: Path) -> None:
    (site / "_build/html/book/c2-blue.html").unlink()
    with pytest.raises(LabkitError, match=r"book/c2-blue: in _toc.yml, but was not built"):
        check(site, site / "_build/html")


def test_a_cell_that_was_not_executed_is_found(site: Path) -> None:
    path = site / "_build/jupyter_execute/book/c2-blue.ipynb"
    path.write_text(path.read_text().replace('"execution_count": 2', '"execution_count": null'))
    with pytest.raises(LabkitError, match="c2-blue: code cell 2 of 2 was not executed"):
        check(site, site / "_build/html")


def _bars() -> str:
    """Return what progress bars write, of known and unknown length, left there and cleared."""
    told = io.StringIO()
    options = {"file": told, "mininterval": 0}
    for _ in tqdm(range(3), "ResNet-20, [a]", unit="batch", leave=False, **options):
        for _ in tqdm(iter("ab"), unit_scale=True, postfix={"loss": 0.5}, **options):
            pass
    return told.getvalue()


def _say(root: Path, text: str) -> None:
    """Have the first cell of c2-blue say `text` on stderr."""
    path = root / "_build/jupyter_execute/book/c2-blue.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.outputs = [nbformat.v4.new_output("stream", name="stderr", text=text)]
    nbformat.write(notebook, path)


def test_progress_bars_may_go_to_stderr(site: Path) -> None:
    bars = _bars()
    assert all(part in bars for part in ("\r", "\n", "\x1b[A", "100%", "loss=0.5", "[a]"))
    _say(site, bars)
    check(site, site / "_build/html")


STDERR = {
    "warning": ("x.py:1: UserWarning: a\n  warn()\n", "x.py:1: UserWarning: a"),
    "log": ("WARNING:root:the loss is nan\n", "WARNING:root:the loss is nan"),
    "after a bar": ("{bars}done\n", "done"),
    "in a bar": ("\r 10%|#  | 1/10 [00:00<00:01, 9.0it/s]ERROR:a:b\n\r100%|#", "ERROR:a:b"),
    "like a bar": ("\rloss nan [3, 4]", "loss nan [3, 4]"),
}


@pytest.mark.parametrize("kind", STDERR)
def test_what_the_page_would_not_show_is_found(site: Path, kind: str) -> None:
    text, finding = STDERR[kind]
    _say(site, text.format(bars=_bars()))
    with pytest.raises(LabkitError) as caught:
        check(site, site / "_build/html")
    assert str(caught.value).endswith(f"c2-blue: code cell 1 of 2 says to nobody, on stderr: {finding}")


HIDDEN = """
```{code-cell} ipython3
:tags: [raises-exception]

from tqdm import tqdm

for _ in tqdm(range(2)):
    raise ValueError("two is\\nenough")
```

```{code-cell} ipython3
import logging

logging.warning("diverged")
```
"""


def test_what_a_cell_hides_stops_the_build(site: Path) -> None:
    with (site / "book/c1-red.md").open("a") as source:
        source.write(HIDDEN)
    for _ in range(2):
        code, output = build(site)
        assert code == 1
        assert re.search(r"^Error: 2 faults in \S+/_build/unchecked-html:$", output, re.MULTILINE), output
        assert "c1-red: code cell 3 of 4 raises ValueError: two is enough" in output
        assert "c1-red: code cell 4 of 4 says to nobody, on stderr: WARNING:root:diverged" in output
        assert not (site / "_build/html").exists()


LABS = {
    "no close": ("lab = labkit.open_lab(slug)\nlab.record('R1', [{'x': nan}])", True),
    "close too early": ("lab = open_lab(slug)\nlab.close()\nlab.record('R1', [{'x': nan}])", True),
    "close that may not come": ("lab = open_lab(slug)\nif good:\n    lab.close()", True),
    "another name": ("other = open_lab(slug)\nother.close()", True),
    "closed": ("lab = open_lab(slug)\nlab.record('R1', [{'x': 1}])\nlab.close()\nlab.views('R1')", False),
    "none": ("print('lab.record')", False),
}


@pytest.mark.parametrize("lab", LABS)
def test_a_lab_must_write_its_record(site: Path, lab: str) -> None:
    code, left_open = LABS[lab]
    source = site / "book/c1-red.md"
    source.write_text(source.read_text().replace('print("the word is", word())', code))
    if left_open:
        with pytest.raises(LabkitError, match=r"c1-red: opens a lab and does not end with lab\.close\(\)"):
            check(site, site / "_build/html")
    else:
        check(site, site / "_build/html")


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
        check(site, site / "_build/html")


def test_a_button_must_open_a_notebook_that_git_tracks(site: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=site, check=True)
    subprocess.run(["git", "add", "book", "notebooks/c1-red.ipynb"], cwd=site, check=True)
    with pytest.raises(LabkitError) as caught:
        check(site, site / "_build/html")
    assert "c2-blue: the button for Colab" in str(caught.value)
    assert "c1-red" not in str(caught.value)

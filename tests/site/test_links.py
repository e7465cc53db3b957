"""Links, buttons and resources of a built site: each leads to something that is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from labkit.errors import LabkitError
from labkit.site.checks.html import read_page
from labkit.site.checks.links import link_faults, tracked

HUB, BRANCH = "https://github.com/the-lab-book/the-lab-book", "main"
CONFIG = {"url": HUB, "branch": BRANCH}
SLUG = HUB.removeprefix("https://github.com/")
COLAB, BINDER = "https://colab.research.google.com", "https://mybinder.org"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A book under git whose site has two pages and a style sheet; book/new.md is not tracked."""
    for name in ("book/a.md", "book/data/b.md", "notebooks/p01-x.ipynb", "a file.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "_config.yml").write_text(yaml.safe_dump({"repository": CONFIG}))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    (tmp_path / "book/new.md").write_text("x")
    site = tmp_path / "_build/html"
    (site / "book/data").mkdir(parents=True)
    (site / "style.css").write_text("p { background: url(picture.png) }")
    (site / "picture.png").write_text("")
    (site / "book/a.html").write_text('<h1 id="top">A</h1>')
    return tmp_path


def faults(root: Path, html: str) -> list[str]:
    """Return what is found when `html` is on the page book/data/b."""
    site = root / "_build/html"
    (site / "book/data/b.html").write_text(f'<p id="here" name="there">{html}</p>')
    pages = {path: read_page(path) for path in sorted(site.rglob("*.html"))}
    return list(link_faults(root, site, pages))


GOOD = {
    "anchor": '<a href="#here">',
    "named anchor": '<a href="b.html#there">',
    "top": '<a href="#">',
    "anchor elsewhere": '<a href="../a.html#top">',
    "form": '<form action="../a.html">',
    "picture": '<img src="../../picture.png">',
    "picture inside": '<img src="data:image/png;base64,AAAA">',
    "pictures": '<img srcset="../../picture.png 1x, ../../picture.png?v=2 2x">',
    "style": '<link rel="stylesheet" href="../../style.css?digest=1">',
    "canonical": '<link rel="canonical" href="https://example.org/b.html">',
    "external": '<a href="https://doi.org/10.1109/CVPR.2016.90?x=1#y">',
    "repository": f'<a href="{HUB}">',
    "issues": f'<a href="{HUB}/issues">',
    "new issue": f'<a href="{HUB}/issues/new?title=Issue%20on%20page%20%2Fb&body=x">',
    "edit": f'<a href="{HUB}/edit/{BRANCH}/book/data/b.md">',
    "source": f'<a href="{HUB}/blob/{BRANCH}/book/a.md?plain=1">',
    "line": f'<a href="{HUB}/blob/{BRANCH}/book/a.md#L1">',
    "space": f'<a href="{HUB}/blob/{BRANCH}/a%20file.txt">',
    "folder": f'<a href="{HUB}/tree/{BRANCH}/book/data/">',
    "colab": f'<a href="{COLAB}/github/{SLUG}/blob/{BRANCH}/notebooks/p01-x.ipynb">',
    "binder": f'<a href="{BINDER}/v2/gh/{SLUG}/{BRANCH}?urlpath=lab/tree/notebooks/p01-x.ipynb">',
    "another repository": f'<a href="{HUB}-friends/wiki">',
}
NETWORK = "which needs a network"
BAD = {
    "page": ('<a href="c.html">', "c.html leads nowhere"),
    "out of the site": ('<a href="../../../../book/a.md">', "leads nowhere"),
    "folder": ('<a href="../">', "leads nowhere"),
    "anchor": ('<a href="#gone">', "#gone has no such anchor"),
    "anchor elsewhere": ('<a href="../a.html#here">', "has no such anchor"),
    "form": ('<form action="../gone.html">', "leads nowhere"),
    "picture": ('<img src="gone.png">', "leads nowhere"),
    "second picture": ('<img srcset="../../picture.png 1x, gone.png 2x">', "gone.png leads nowhere"),
    "http": ('<a href="http://example.org">', "is no https address"),
    "no scheme": ('<a href="//example.org">', "is no https address"),
    "file": ('<a href="file:///home/x">', "is no https address"),
    "no host": ('<a href="https:///x">', "is no well-formed address"),
    "short host": ('<a href="https://localhost/x">', "is no well-formed address"),
    "space": ('<a href="https://example.org/a b">', "is no well-formed address"),
    "template": ('<a href="https://example.org/{page}">', "is no well-formed address"),
    "not tracked": (f'<a href="{HUB}/edit/{BRANCH}/book/new.md">', "opens no file that git tracks"),
    "gone": (f'<a href="{HUB}/blob/{BRANCH}/book/gone.md">', "opens no file that git tracks"),
    "branch": (f'<a href="{HUB}/blob/other/book/a.md">', f"no address on the branch {BRANCH}"),
    "no place": (f'<a href="{HUB}/wiki">', f"no address on the branch {BRANCH}"),
    "colab": (f'<a href="{COLAB}/github/{SLUG}/blob/{BRANCH}/book/new.md">', "opens no file"),
    "binder": (f'<a href="{BINDER}/v2/gh/{SLUG}/{BRANCH}?urlpath=lab/tree/x.ipynb">', "opens no file"),
    "script": ('<script src="https://example.org/x.js"></script>', NETWORK),
    "style": ('<link rel="preload stylesheet" href="https://example.org/x.css">', NETWORK),
    "remote picture": ('<img src="https://example.org/x.png">', NETWORK),
    "frame": ('<iframe src="https://example.org/"></iframe>', NETWORK),
    "film": ('<video><source src="https://example.org/x.mp4"></video>', NETWORK),
    "attribute": ("<p style=\"background: url('https://example.org/x.png')\">", NETWORK),
    "element": ('<style>@import "//example.org/x.css";</style>', NETWORK),
}


@pytest.mark.parametrize("link", GOOD)
def test_a_good_link_passes(root: Path, link: str) -> None:
    assert faults(root, GOOD[link]) == []


@pytest.mark.parametrize("link", BAD)
def test_a_bad_link_is_found(root: Path, link: str) -> None:
    html, finding = BAD[link]
    [found] = faults(root, html)
    assert found.startswith("book/data/b: ")
    assert finding in found


def test_a_style_sheet_from_elsewhere_is_found(root: Path) -> None:
    (root / "_build/html/style.css").write_text("p { src: url( https://example.org/x.woff2 ) }")
    assert faults(root, "") == ["style.css: is made with https://example.org/x.woff2, which needs a network"]


def test_redirects_are_followed(root: Path) -> None:
    page = root / "_build/html/book/old.html"
    redirects = root / "book/redirects.yml"
    redirects.write_text("book/old: book/a\n")
    assert faults(root, "") == ["book/old: in book/redirects.yml, but was not built"]
    refresh = '<meta http-equiv="refresh" content="0; url={}">'
    page.write_text(f'{refresh.format("a.html")}<a href="a.html">')
    assert faults(root, "") == []
    for html in ("", refresh.format("data/b.html"), f'{refresh.format("a.html")}<a href="data/b.html">'):
        page.write_text(html)
        assert faults(root, "") == ["book/old: does not lead on to book/a, and there alone"]
    page.write_text(refresh.format("gone.html"))
    assert faults(root, "")[0] == "book/old: gone.html leads nowhere"


def test_files_are_tracked_as_git_says(root: Path) -> None:
    assert {"book/a.md", "a file.txt"} <= tracked(root)
    assert "book/new.md" not in tracked(root)
    # A file that git tracks still, and that is there no more, opens nothing.
    (root / "book/a.md").unlink()
    assert "book/a.md" not in tracked(root)
    (root / ".git/index").write_text("x")
    with pytest.raises(LabkitError, match=f"^git cannot list the files of {re.escape(str(root))}: "):
        tracked(root)


def test_without_git_the_files_that_are_there_count(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book/a.md").write_text("x")
    assert tracked(tmp_path) == {"book/a.md"}


def test_without_an_address_no_link_is_ours(root: Path) -> None:
    (root / "_config.yml").write_text("title: T\n")
    assert faults(root, f'<a href="{HUB}/blob/main/gone.md">') == []

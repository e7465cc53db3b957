"""Where the links and buttons of the built site lead: to a living anchor, a tracked file, or out by https.

What a page is made of (scripts, styles, pictures) comes from the site itself, so that it reads offline.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from labkit.chapters.address import address, branch
from labkit.errors import LabkitError
from labkit.site.checks.html import Page, remote_in_style
from labkit.site.redirects import read_redirects

HOST = re.compile(r"([a-z0-9-]+\.)+[a-z]{2,}")
# Addresses that open a file of the repository `slug`, as the theme's buttons and our pages write them.
OPENS = (
    r"https://github\.com/{slug}/(?:blob|edit|raw|tree)/{branch}/(?P<path>[^?#]+)",
    r"https://raw\.githubusercontent\.com/{slug}/{branch}/(?P<path>[^?#]+)",
    r"https://colab\.research\.google\.com/github/{slug}/blob/{branch}/(?P<path>[^?#]+)",
    r"https://mybinder\.org/v2/gh/{slug}/{branch}\?urlpath=lab/tree/(?P<path>[^?#&]+)",
)
# Other addresses of the repository: its front page and its issues.
OTHER = r"https://github\.com/{slug}(?:/|/issues|/issues/new\?.*)?"


def tracked(root: Path) -> frozenset[str]:
    """Return the files that git tracks, by path from `root`; all files, where `root` is no repository."""
    if not (root / ".git").exists():
        return frozenset(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if listing.returncode:
        raise LabkitError(f"git cannot list the files of {root}: {listing.stderr.strip()}")
    return frozenset(path for path in listing.stdout.split("\0") if path and (root / path).is_file())


def link_faults(root: Path, site: Path, pages: Mapping[Path, Page]) -> Iterator[str]:
    """Yield what is wrong with the links of all pages, with what they are made of, and with the redirects."""
    repository = _Repository(root, address(root), branch(root))
    for path, page in pages.items():
        name = path.relative_to(site).with_suffix("").as_posix()
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                fault = _external(link, parts) or repository.fault(link)
            else:
                fault = _internal(site, pages, path, parts)
            if fault:
                yield f"{name}: {link} {fault}"
        for resource in dict.fromkeys(page.resources):
            parts = urlsplit(resource)
            if parts.netloc:
                yield f"{name}: is made with {resource}, which needs a network"
    for style in sorted(site.rglob("*.css")):
        for remote in remote_in_style(style.read_text(encoding="utf-8")):
            yield f"{style.relative_to(site)}: is made with {remote}, which needs a network"
    for old, new in read_redirects(root).items():
        page_of_old = pages.get(site / f"{old}.html")
        if page_of_old is None:
            yield f"{old}: in book/redirects.yml, but was not built"
            continue
        leads_to = set(page_of_old.links) - {page_of_old.icon}
        if {(site / old).parent.joinpath(link).resolve() for link in leads_to} != {site / f"{new}.html"}:
            yield f"{old}: does not lead on to {new}, and there alone"


def _internal(site: Path, pages: Mapping[Path, Page], path: Path, parts: SplitResult) -> str:
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site) or not target.is_file():
        return "leads nowhere"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "has no such anchor"
    return ""


def _external(link: str, parts: SplitResult) -> str:
    if parts.scheme != "https":
        return "is no https address"
    if not HOST.fullmatch(parts.netloc) or re.search(r"[\s<>\"{}]", link):
        return "is no well-formed address"
    return ""


class _Repository:
    """The book's own repository: which addresses belong to it, and which of them open something."""

    def __init__(self, root: Path, url: str, branch: str) -> None:
        self.slug, self.branch = urlsplit(url).path.strip("/"), branch
        self.files = tracked(root)
        self.folders = {parent.as_posix() for file in self.files for parent in Path(file).parents}
        names = {"slug": re.escape(self.slug), "branch": re.escape(branch)}
        self.opens = [re.compile(pattern.format(**names)) for pattern in OPENS]
        self.other = re.compile(OTHER.format(**names))

    def fault(self, link: str) -> str:
        """Return what is wrong with an address of the repository, "" for a good one and for all others."""
        ours = self.slug and re.search(rf"/{re.escape(self.slug)}(?![\w-])", link)
        if not ours or self.other.fullmatch(link):
            return ""
        found = next(filter(None, (pattern.match(link) for pattern in self.opens)), None)
        if found is None:
            return f"is no address on the branch {self.branch} of our repository"
        path = unquote(found["path"]).rstrip("/")
        return "" if path in self.files or path in self.folders else "opens no file that git tracks"

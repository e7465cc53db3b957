"""What the pages of the data sets say by themselves: the files to fetch, and the chapters that use a set.

```{published-files} cifar10
```

```{chapters-using} cifar10
```

The first is made from `labkit/data/sources`, the second from the chapters' code and the recorded runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from labkit.chapters.chapter import Chapter, chapters
from labkit.data.embedded.registry import EMBEDDED
from labkit.data.sources.registry import SOURCES
from labkit.lab.provenance import experiment_cells
from labkit.lab.record import Record, records
from labkit.profile import PROFILES, Profile
from labkit.site.directives.tables import Cell, table
from labkit.site.keys import KEY, records_key
from labkit.source.files import PACKAGE

# To whom a lab hands out the data that were asked for; the profile smoke gets what stands in for them.
REAL: tuple[Profile, ...] = tuple(profile for profile in PROFILES if profile != "smoke")
DATA = PACKAGE / "data"


def all_sets() -> list[str]:
    """Return the names of all data sets, those the package computes first."""
    return [*EMBEDDED, *SOURCES]


def sets_used(chapter: Chapter) -> dict[str, tuple[Profile, ...]]:
    """Return the data sets that the chapter's experiment asks for, each with the profiles that see it.

    Found in its code: `lab.images("name")`, `lab.test_images("name")`, `lab.data("name")`,
    `load("name", ...)`, and embedded sets called by their name.
    """
    used: dict[str, tuple[Profile, ...]] = {}
    calls = (
        node
        for cell in experiment_cells(chapter.read())
        if cell.computes
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call)
    )
    for call in calls:
        called = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if called in EMBEDDED:
            used[called] = PROFILES
        elif called in ("load", "load_any") and name in SOURCES:
            used[str(name)] = PROFILES
        elif called in ("images", "test_images", "data") and name in SOURCES:
            used.setdefault(str(name), REAL)
            used.setdefault(SOURCES[str(name)].stand_in.name, ("smoke",))
    return used


class _AboutSet(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, known = self.arguments[0], self.known()
        if name not in known:
            raise self.error(f"unknown data set {name!r}; allowed: {', '.join(known)}")
        for made_by in (Path(__file__), *DATA.glob("sources/*.py"), *DATA.glob("embedded/*.py")):
            self.env.note_dependency(str(made_by))
        return list(self.made(name))

    def known(self) -> list[str]:
        return all_sets()

    def made(self, name: str) -> Iterator[nodes.Node]:
        raise NotImplementedError


class PublishedFiles(_AboutSet):
    """A list of the files that `labkit data fetch` downloads, with their sizes and checksums."""

    def known(self) -> list[str]:
        """Return the sets that are fetched."""
        return list(SOURCES)

    def made(self, name: str) -> Iterator[nodes.Node]:
        """Yield the list."""
        items = []
        for file in SOURCES[name].files:
            about = nodes.paragraph("", "", nodes.literal(text=file.name))
            checksum = nodes.literal(text=file.sha256, classes=["lk-checksum"])
            about += [nodes.Text(f", {file.size:,} bytes, sha256 "), checksum]
            items.append(nodes.list_item("", about))
        yield nodes.bullet_list("", *items)


class ChaptersUsing(_AboutSet):
    """A table of the chapters that use a set, and how the copies differed that recorded runs had."""

    def made(self, name: str) -> Iterator[nodes.Node]:
        """Yield the table, and below it a sentence on the copies."""
        root = Path(self.env.srcdir)
        self.env.metadata[self.env.docname][KEY] = records_key(self.env.app)
        rows: list[list[Cell]] = []
        copies: list[str] = []
        for chapter in chapters(root):
            if profiles := sets_used(chapter).get(name):
                made = [record for profile in REAL for record in records(chapter, root / "results", profile)]
                runs = [(record, text) for record in made if (text := _differences(name, record)) is not None]
                seeds = (f"{record.profile} {record.seed}" for record, _ in runs)
                rows.append([_link(chapter), ", ".join(profiles), ", ".join(seeds) or "none"])
                copies += [text or "as published" for _, text in runs]
        if not rows:
            yield nodes.paragraph(text="No chapter uses it yet.")
            return
        yield table(["Chapter", "Profiles", "Recorded seeds"], rows)
        if copies:
            said = "; or ".join(dict.fromkeys(copies))
            yield nodes.paragraph(text=f"The copy that the recorded runs used: {said}.")


def setup_datasets(app: Sphinx) -> None:
    """Add the directives `published-files` and `chapters-using`."""
    app.add_directive("published-files", PublishedFiles)
    app.add_directive("chapters-using", ChaptersUsing)


def _differences(name: str, record: Record) -> str | None:
    """Return how the copy differed that the run had, "" where it did not; None for a run without the set."""
    parts = [part for part in record.data if str(part["name"]).split("/")[0] == name]
    return "; ".join(dict.fromkeys(str(part["differences"]) for part in parts)) if parts else None


def _link(chapter: Chapter) -> nodes.Node:
    target = {"refdomain": "std", "reftype": "doc", "reftarget": f"/{chapter.page}"}
    text = nodes.inline(text=f"{chapter.number}: {chapter.title()}")
    return addnodes.pending_xref("", text, **target, refexplicit=True, refwarn=True)

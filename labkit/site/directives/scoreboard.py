"""Two directives made from all records: which claims reproduced, and what was run where.

```{scoreboard}
```

A page with either of them is read again when a record, or the code a record was made by, has changed. Its
tables are made when the page is written: by then the chapters have been read, and the anchors of their
claims are known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from labkit.lab.claims import Verdict
from labkit.lab.report import claim_anchor, effect_text
from labkit.lab.standing import Standing, standings
from labkit.site.directives.recorded import recorded_runs
from labkit.site.directives.tables import Cell, table
from labkit.site.keys import KEY, records_key

# A sign and a word for each verdict; the colour, which book.css gives in each theme, only comes on top.
SIGNS: dict[Verdict, str] = {"reproduced": "✓", "not reproduced": "✗", "undecided": "?"}


class placeholder(nodes.General, nodes.Element):  # type: ignore[misc]
    """Stands for the tables of one directive until the page is written."""


class _FromRecords(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        """Leave a placeholder, and note on which records the page depends."""
        self.env.metadata[self.env.docname][KEY] = records_key(Path(self.env.srcdir))
        return [placeholder(made_by=self.name)]


def setup_scoreboard(app: Sphinx) -> None:
    """Add the directives `scoreboard` and `recorded-runs`."""
    app.add_node(placeholder)
    app.add_directive("scoreboard", _FromRecords)
    app.add_directive("recorded-runs", _FromRecords)
    app.connect("env-get-outdated", outdated_pages)
    app.connect("doctree-resolved", fill)


def outdated_pages(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Return the pages made from records that are not as they were."""
    pages = {name: data[KEY] for name, data in env.metadata.items() if KEY in data}
    key = records_key(Path(app.srcdir)) if pages else ""
    return [name for name, known in pages.items() if known != key]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the tables where the directives are."""
    for node in list(doctree.findall(placeholder)):
        found = standings(Path(app.srcdir))
        if not found:
            made: list[nodes.Node] = [nodes.paragraph(text="No run is recorded yet.")]
        elif node["made_by"] == "scoreboard":
            made = list(_scoreboard(app, docname, found))
        else:
            made = list(recorded_runs(found))
        node.replace_self(made)


def _scoreboard(app: Sphinx, docname: str, found: list[Standing]) -> Iterator[nodes.Node]:
    """Yield a table with a row for each chapter and profile, then for each of them its claims, folded."""
    rows = []
    for standing in found:
        counts = Counter(judgement.verdict for judgement in standing.judgements())
        page = app.builder.get_relative_uri(docname, f"book/{standing.chapter.slug}")
        name = nodes.inline("", "", nodes.reference("", _name(standing), refuri=page))
        if standing.code.changed:
            name += [nodes.Text(", "), nodes.strong(text=standing.code.word)]
        counted = [str(counts[verdict]) for verdict in SIGNS]
        rows.append([name, str(len(standing.records)), *counted])
    yield table(["Chapter", "Seeds", *map(_verdict, SIGNS)], rows)
    for standing in found:
        opening = f'<details style="margin-bottom: 1rem"><summary>{_name(standing)}, claim by claim</summary>'
        yield nodes.raw("", opening, format="html")
        yield table(["", "Claim", "Effect", "Verdict"], list(_claims(app, docname, standing)))
        yield nodes.paragraph(text=f"Code: {standing.code.sentence}.")
        yield nodes.raw("", "</details>", format="html")


def _name(standing: Standing) -> str:
    return f"{standing.chapter.number} {standing.profile}"


def _claims(app: Sphinx, docname: str, standing: Standing) -> Iterator[list[Cell]]:
    chapter = f"book/{standing.chapter.slug}"
    page, anchors = app.builder.get_relative_uri(docname, chapter), _anchors(app.env.get_doctree(chapter))
    for judgement in standing.judgements():
        claim = judgement.claim
        # A stale record may hold a claim that the chapter makes no more.
        place = next((f"#{name}" for name in (claim_anchor(claim), "results") if name in anchors), "")
        link = nodes.reference("", claim.text, refuri=page + place)
        yield [claim.row, link, effect_text(judgement), _verdict(judgement.verdict)]


def _anchors(page: nodes.document) -> set[str]:
    """Return the ids that links into `page` may lead to, those in the HTML of outputs included."""
    anchors = {name for node in page.findall(nodes.Element) for name in node.get("ids", ())}
    for html in page.findall(nodes.raw):
        anchors.update(re.findall(r'<span id="([^"]+)"', html.astext()))
    return anchors


def _verdict(verdict: Verdict) -> nodes.Node:
    name = f"lk-{verdict.replace(' ', '-')}"
    mark = f'<b aria-hidden="true" class="{name}">{SIGNS[verdict]}</b>&nbsp;{verdict}'
    return nodes.raw("", mark, format="html")

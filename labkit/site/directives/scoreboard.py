"""Directives made from all records: the chapters, which of their claims reproduced, what was run where.

```{chapters}
```

`chapters` tells of each chapter in the folder of its page (on the first page: of all) what it asks, costs and
found; `scoreboard` has each claim, `recorded-runs` each run. A page with one of them is read again when a
record, or the code a record was made by, has changed. Its tables are made when the page is written: by then
the chapters have been read, and the anchors of their claims are known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from labkit.chapters.chapter import chapters
from labkit.lab.claims import Verdict
from labkit.lab.report import claim_anchor, effect_text
from labkit.lab.standing import Standing, standings
from labkit.site.directives.recorded import recorded_runs, rehearsals
from labkit.site.directives.tables import Cell, table
from labkit.site.keys import KEY, records_key

# A sign and a word for each verdict; the colour, which book.css gives in each theme, only comes on top.
SIGNS: dict[Verdict, str] = {"reproduced": "✓", "not reproduced": "✗", "undecided": "?"}


class placeholder(nodes.General, nodes.Element):  # type: ignore[misc]
    """Stands for the tables of one directive until the page is written."""


class _FromRecords(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        """Leave a placeholder, and note on which records the page depends."""
        self.env.metadata[self.env.docname][KEY] = records_key(self.env.app)
        return [placeholder(made_by=self.name)]


def setup_scoreboard(app: Sphinx) -> None:
    """Add the directives `chapters`, `scoreboard` and `recorded-runs`."""
    app.add_node(placeholder)
    for name in ("chapters", "scoreboard", "recorded-runs"):
        app.add_directive(name, _FromRecords)
    app.connect("env-get-outdated", outdated_pages)
    app.connect("doctree-resolved", fill)


def outdated_pages(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Return the pages made from records that are not as they were."""
    pages = {name: data[KEY] for name, data in env.metadata.items() if KEY in data}
    key = records_key(app) if pages else ""
    return [name for name, known in pages.items() if known != key]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the tables where the directives are."""
    for node in list(doctree.findall(placeholder)):
        found = _standings(app)
        if node["made_by"] == "chapters":
            made: list[nodes.Node] = [_chapters(app, docname, found)]
        elif not found:
            made = [nodes.paragraph(text="No run is recorded yet.")]
        elif node["made_by"] == "scoreboard":
            made = list(_scoreboard(app, docname, found))
        else:
            made = [*recorded_runs(found), *rehearsals(chapters(Path(app.srcdir)))]
        node.replace_self(made)


@lru_cache(maxsize=1)  # a build has one application, and many pages with tables
def _standings(app: Sphinx) -> list[Standing]:
    return standings(Path(app.srcdir))


def _chapters(app: Sphinx, docname: str, found: list[Standing]) -> nodes.table:
    """Return a table of the chapters in the folder of the page: question, cost and counts of verdicts."""
    folder, rows = docname.rpartition("/")[0], list[list[Cell]]()
    for chapter in chapters(Path(app.srcdir)):
        if not chapter.page.startswith(f"{folder}/"):
            continue
        page = app.builder.get_relative_uri(docname, chapter.page)
        title = nodes.reference("", f"{chapter.number} {chapter.title()}", refuri=page)
        # The largest profile comes first.
        standing = next((each for each in found if each.chapter == chapter), None)
        rows.append(
            [title, chapter.question(), *(_found(standing) if standing else ["not yet recorded", "–"])]
        )
    return table(["Chapter", "Question", "Cost", "Found"], rows)


def _found(standing: Standing) -> list[Cell]:
    """Return what a seed of the recorded runs cost, and how many of their claims got each verdict."""
    minutes = sum(record.seconds for record in standing.records) / len(standing.records) / 60
    counts = Counter(judgement.verdict for judgement in standing.judgements())
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in SIGNS if counts[verdict])
    seeds = f"{len(standing.records)} seed{'s' * (len(standing.records) > 1)}"
    return [f"{standing.profile}, {seeds} of {minutes:.0f} minutes", verdicts or "no claims"]


def _scoreboard(app: Sphinx, docname: str, found: list[Standing]) -> Iterator[nodes.Node]:
    """Yield a table with a row for each chapter and profile, then for each of them its claims, folded."""
    rows = []
    for standing in found:
        counts = Counter(judgement.verdict for judgement in standing.judgements())
        page = app.builder.get_relative_uri(docname, standing.chapter.page)
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
    chapter = standing.chapter.page
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

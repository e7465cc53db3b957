"""Directives made from all records: the chapters, what they found, what was run where.

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
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from labkit.chapters.chapter import chapters
from labkit.lab.report import SIGNS, claim_anchor, verdict
from labkit.lab.standing import Standing, standings
from labkit.site.directives.recorded import recorded_runs, rehearsals
from labkit.site.directives.tables import table
from labkit.site.keys import KEY, records_key


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


def _chapters(app: Sphinx, docname: str, found: list[Standing]) -> nodes.raw:
    """Return a card for each chapter in the folder of the page: picture, question, answer, verdicts, cost."""
    folder, cards = docname.rpartition("/")[0], ""
    for chapter in chapters(Path(app.srcdir)):
        if not chapter.page.startswith(f"{folder}/"):
            continue
        page = app.builder.get_relative_uri(docname, chapter.page)
        picture, answer = _in_short(app.env.get_doctree(chapter.page))
        # The largest profile comes first.
        standing = next((each for each in found if each.chapter == chapter), None)
        told = [
            f'<h3><a href="{page}">{chapter.number} {escape(chapter.title())}</a></h3>',
            f"<p>{escape(chapter.question())}</p>",
            f"<p><b>{answer}</b></p>" if answer else "",
            f'<p class="lk-counts">{"<br>".join(_found(standing) if standing else ["not yet recorded"])}</p>',
        ]
        thumb = f'<div class="lk-thumb">{picture}</div>' if picture else ""
        cards += f'<article class="lk-card">{thumb}<div>{"".join(told)}</div></article>'
    return nodes.raw("", f'<div class="lk-cards">{cards}</div>', format="html")


def _in_short(page: nodes.document) -> tuple[str, str]:
    """Return the picture of a chapter's first screen as SVG, and its answer; empty where it has none."""
    picture, answer = "", ""
    for cell in page.findall(nodes.container):
        if "tag_in-short" not in cell["classes"]:
            continue
        for html in cell.findall(nodes.raw):
            if found := re.search(r"<svg .*?</svg>", html.astext(), re.DOTALL):
                picture = picture or found[0].replace('role="img"', 'aria-hidden="true"', 1)
        for paragraph in cell.findall(nodes.paragraph):
            inside = False
            for node in paragraph.children:
                if isinstance(node, nodes.raw):
                    inside = "lk-answer" in node.astext() or (inside and "</span>" not in node.astext())
                elif inside:
                    answer += node.astext()
    return picture, escape(answer)


def _found(standing: Standing) -> list[str]:
    """Return how many of the primary claims got each verdict, and what a seed of the recorded runs cost."""
    minutes = sum(record.seconds for record in standing.records) / len(standing.records) / 60
    counts = _counts(standing, primary=True)
    verdicts = ", ".join(f"{counts[word]} {word}" for word in SIGNS if counts[word])
    seeds = f"{len(standing.records)} seed{'s' * (len(standing.records) > 1)}"
    return [verdicts or "no primary claims", f"{standing.profile}, {seeds} of {minutes:.0f} minutes"]


def _counts(standing: Standing, *, primary: bool) -> Counter[str]:
    return Counter(
        judgement.word
        for judgement in standing.judgements
        if judgement.claim.primary is primary and not judgement.claim.control
    )


def _scoreboard(app: Sphinx, docname: str, found: list[Standing]) -> Iterator[nodes.Node]:
    """Yield a table with a row for each chapter and profile, then for each of them its claims, folded."""
    used = [word for word in SIGNS if any(_counts(standing, primary=True)[word] for standing in found)]
    rows = []
    for standing in found:
        counts = _counts(standing, primary=True)
        page = app.builder.get_relative_uri(docname, standing.chapter.page)
        name = nodes.inline("", "", nodes.reference("", _name(standing), refuri=page))
        if standing.code.changed:
            name += [nodes.Text(", "), nodes.strong(text=standing.code.word)]
        rows.append([name, str(len(standing.records)), *(str(counts[word]) for word in used)])
    yield table(["Chapter", "Seeds", *map(_verdict, used)], rows)
    for standing in found:
        opening = f'<details style="margin-bottom: 1rem"><summary>{_name(standing)}, claim by claim</summary>'
        yield nodes.raw("", opening, format="html")
        yield nodes.bullet_list("", *_claims(app, docname, standing), classes=["lk-claims"])
        yield nodes.paragraph(text=f"Code: {standing.code.sentence}.")
        yield nodes.raw("", "</details>", format="html")


def _name(standing: Standing) -> str:
    return f"{standing.chapter.number} {standing.profile}"


def _claims(app: Sphinx, docname: str, standing: Standing) -> Iterator[nodes.list_item]:
    """Yield an item for each claim: verdict, sentence with a link to its place, effect."""
    chapter = standing.chapter.page
    page, anchors = app.builder.get_relative_uri(docname, chapter), _anchors(app.env.get_doctree(chapter))
    judged = [judgement for judgement in standing.judgements if not judgement.claim.control]
    for judgement in sorted(judged, key=lambda judgement: not judgement.claim.primary):
        claim = judgement.claim
        # A page shows the claims of the parts it tells of.
        place = next((f"#{name}" for name in (claim_anchor(claim), "results") if name in anchors), "")
        link = nodes.reference("", f"{claim.text}.", refuri=page + place)
        kind = " (primary)" if claim.primary else ""
        told = nodes.Text(f" {claim.row}{kind}: {judgement.text}")
        yield nodes.list_item(
            "", nodes.paragraph("", "", _verdict(judgement.word), nodes.Text(" "), link, told)
        )


def _anchors(page: nodes.document) -> set[str]:
    """Return the ids that links into `page` may lead to, those in the HTML of outputs included."""
    anchors = {name for node in page.findall(nodes.Element) for name in node.get("ids", ())}
    for html in page.findall(nodes.raw):
        anchors.update(re.findall(r'<span id="([^"]+)"', html.astext()))
    return anchors


def _verdict(word: str) -> nodes.raw:
    return nodes.raw("", verdict(word), format="html")

"""The page of the pretrained networks: its table names every one, with terms, source and what to cite."""

from __future__ import annotations

import re
from pathlib import Path

from plain_sphinx import build, text_of, write_pages
from pybtex.database import parse_string

from labkit.chapters.chapter import toc_pages
from labkit.data.weights import WEIGHTS
from labkit.source.files import PACKAGE

BOOK = PACKAGE.parent
PAGE = (BOOK / "book/pretrained.md").read_text(encoding="utf-8")
REFERENCES = parse_string((BOOK / "book/references.bib").read_text(encoding="utf-8"), "bibtex").entries


def plain(title: str) -> str:
    return re.sub(r"[\W_]", "", title).lower()


def test_the_page_is_in_the_book_and_has_the_table() -> None:
    assert "book/pretrained" in toc_pages(BOOK)
    assert "```{pretrained-networks}\n```" in PAGE


def test_the_page_cites_every_work_that_the_table_names() -> None:
    keys = {plain(entry.fields["title"]): key for key, entry in REFERENCES.items()}
    works = {work for weights in WEIGHTS.values() for work in weights.citation.split("; ")}
    assert len(works) == 11
    for work in works:
        title = work.split(": ", 1)[1].rsplit(", ", 2)[0]
        key = keys.get(plain(title))
        assert key, f"{title} is not in references.bib"
        assert re.search(rf"\{{cite\}}`[^`]*\b{key}\b", PAGE), f"{key} is not cited on the page"
        assert work.endswith(REFERENCES[key].fields["year"])


def test_the_table_is_made_from_the_registry(tmp_path: Path) -> None:
    write_pages(tmp_path, {"intro": "# A book", "pretrained": "# Networks\n\n```{pretrained-networks}\n```"})
    code, _, errors = build(tmp_path)
    assert code == 0, errors
    text = " ".join(text_of(tmp_path, "pretrained").split())
    html = (tmp_path / "_build/html/book/pretrained.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr.*?</tr>", html, re.DOTALL)
    assert len(rows) == 1 + len(WEIGHTS)
    for (name, weights), row in zip(WEIGHTS.items(), rows[1:], strict=True):
        assert f"{name} " in re.sub(r"<[^>]+>", " ", row)
        assert f">{weights.measured:.2f}<" in row
        assert f">{weights.published or '–'}<" in row
        assert f">{weights.licence}<" in row
        publisher = weights.publisher
        assert f'href="https://github.com/{publisher.repository}/tree/{publisher.commit}"' in row
    assert (
        "ResNet-20, option-A shortcuts 91.73 91.73 (README of the repository) BSD-2-Clause akamaster/" in text
    )
    assert "trained for a certificate by duality 61.61 – MIT oval-group/oval-bab . Wong, Kolter:" in text

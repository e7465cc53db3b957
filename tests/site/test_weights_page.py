"""The page of the pretrained networks: its table names every one, with terms, source and what to cite."""

from __future__ import annotations

import re
import shutil
from html import unescape
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
    works = {work for weights in WEIGHTS.values() for work in weights.works}
    assert len(works) == 12
    for work in works:
        entry = REFERENCES[work.key].fields
        assert plain(work.text.split(": ", 1)[1]).startswith(plain(entry["title"]))
        assert work.text.endswith(f", {entry['year']}")
        assert re.search(rf"\{{cite\}}`[^`]*\b{work.key}\b", PAGE), f"{work.key} is not cited on the page"


def test_the_table_is_made_from_the_registry(tmp_path: Path) -> None:
    page = "# Networks\n\n```{pretrained-networks}\n```\n\n```{bibliography}\n```"
    write_pages(tmp_path, {"intro": "# A book", "pretrained": page})
    shutil.copy(BOOK / "book/references.bib", tmp_path)
    with (tmp_path / "conf.py").open("a") as config:
        config.write('extensions.append("sphinxcontrib.bibtex")\nbibtex_bibfiles = ["references.bib"]\n')
    code, _, errors = build(tmp_path)
    assert code == 0, errors
    html = (tmp_path / "_build/html/book/pretrained.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr.*?</tr>", html, re.DOTALL)
    assert len(rows) == 1 + len(WEIGHTS)
    for (name, weights), row in zip(WEIGHTS.items(), rows[1:], strict=True):
        words = " ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split())
        assert words.replace("“", '"').replace("”", '"').startswith(f"{name} {weights.description} ")
        assert f">{weights.measured:.2f}<" in row
        assert f">{weights.published or '–'}<" in row
        assert words.endswith(f" ] , licence: {weights.licence}")
        publisher = weights.publisher
        assert f'href="https://github.com/{publisher.repository}/tree/{publisher.commit}"' in row
        assert len(re.findall(r'href="#[^"]+"', row)) == len(weights.works)
    text = text_of(tmp_path, "pretrained")
    assert "ResNet-20, option-A shortcuts 91.73 91.73, README akamaster [" in text
    assert "trained for a certificate by duality 61.61 – oval-group [" in text

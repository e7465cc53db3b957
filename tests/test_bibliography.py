"""Every key of the bibliography is cited and known, and its entry whole; every word is defined once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from pybtex.database import BibliographyDataError, parse_string

from labkit.chapters.chapter import toc_pages
from labkit.source.files import PACKAGE

BOOK = PACKAGE.parent
PAGES = {page: (BOOK / f"{page}.md").read_text(encoding="utf-8") for page in toc_pages(BOOK)}
REFERENCES = (BOOK / "book/references.bib").read_text(encoding="utf-8")
WHERE = ("doi", "eprint", "url")


def cited(text: str) -> set[str]:
    """Return the keys that the page cites, by any of the roles `cite`, `cite:p`, `cite:t` and so on."""
    return {
        key.strip() for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text) for key in keys.split(",")
    }


def faults(references: str, pages: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the entries, and with the keys that the pages cite."""
    try:
        entries = parse_string(references, "bibtex").entries
    except BibliographyDataError as error:  # a key that is there twice
        yield str(error)
        return
    used = {key: page for page, text in pages.items() for key in cited(text)}
    yield from (f"{key}: cited in {used[key]}, not in references.bib" for key in used.keys() - set(entries))
    yield from (f"{key}: nowhere cited" for key in set(entries) - used.keys())
    titles = Counter(
        re.sub(r"[\W_]", "", entry.fields.get("title", "")).lower() for entry in entries.values()
    )
    for key, entry in entries.items():
        title = entry.fields.get("title", "")
        if titles[re.sub(r"[\W_]", "", title).lower()] > 1:
            yield f"{key}: another entry has this title"
        if not entry.persons.get("author") or not title:
            yield f"{key}: no author or no title"
        if not re.fullmatch(r"(19|20)\d\d", entry.fields.get("year", "")):
            yield f"{key}: no year"
        if not any(entry.fields.get(name) for name in WHERE):
            yield f"{key}: says nowhere how to find it: one of {', '.join(WHERE)}"
        if not entry.fields.get("url", "https://").startswith("https://"):
            yield f"{key}: its url is no https address"
        eprint, archive = entry.fields.get("eprint", ""), entry.fields.get("archiveprefix")
        if eprint and (archive != "arXiv" or not re.fullmatch(r"\d{4}\.\d{4,5}", eprint)):
            yield f"{key}: {eprint} is no number of arXiv"
        if not re.fullmatch(r"10\.\d{4,}/\S+", entry.fields.get("doi", "10.1000/1")):
            yield f"{key}: {entry.fields['doi']} is no doi"


GOOD = """@misc{a2000b, author = {A, B}, title = {On C}, year = {2000},
  eprint = {2001.00001}, archiveprefix = {arXiv}}"""
CITING = {"book/x": "As {cite}`a2000b` says."}
FAULTS = {
    "unused": (GOOD, {"book/x": "a2000b"}, "a2000b: nowhere cited"),
    "missing": (
        GOOD,
        {"book/x": "{cite:t}`a2000b, c2001d`"},
        "c2001d: cited in book/x, not in references.bib",
    ),
    "twice": (f"{GOOD}\n{GOOD}", CITING, "repeated bib"),
    "same work": (
        f"{GOOD}\n{GOOD.replace('a2000b', 'c')}",
        {"book/x": "{cite}`a2000b,c`"},
        "another entry has this title",
    ),
    "no author": (GOOD.replace("author", "editor"), CITING, "no author or no title"),
    "no title": (GOOD.replace("title", "note"), CITING, "no author or no title"),
    "no year": (GOOD.replace("2000}", "soon}"), CITING, "no year"),
    "nowhere": (GOOD.replace("eprint", "note"), CITING, "says nowhere how to find it"),
    "http": (GOOD.replace("eprint = {2001.00001}", "url = {http://a.org}"), CITING, "no https"),
    "arxiv": (GOOD.replace("2001.00001", "cs/0001"), CITING, "is no number of arXiv"),
    "doi": (GOOD.replace("eprint = {", "doi = {https://doi.org/10.1/"), CITING, "is no doi"),
}


def test_a_good_bibliography_passes() -> None:
    assert list(faults(GOOD, CITING)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str) -> None:
    references, pages, finding = FAULTS[fault]
    found = list(faults(references, pages))
    assert found, fault
    assert all(finding in text for text in found), found


def test_the_book_cites_every_work_and_no_unknown_one() -> None:
    found = sorted(faults(REFERENCES, PAGES))
    assert not found, "\n".join(found)


def terms_of(text: str) -> list[str]:
    """Return the words that the page's glossary defines: its lines that are not indented."""
    blocks = re.findall(r"^```\{glossary\}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line and line[0] not in " :"]


def test_every_word_is_defined_once_and_in_the_glossary() -> None:
    defined = [(term.lower(), page) for page, text in PAGES.items() for term in terms_of(text)]
    assert {page for _, page in defined} == {"book/glossary"}
    assert [term for term, count in Counter(defined).items() if count > 1] == []
    known = {term for term, _ in defined}
    linked = {
        (match[2] or match[1]).strip().lower()
        for text in PAGES.values()
        for match in re.finditer(r"\{term\}`([^`<]+)(?:<([^>]+)>)?`", text)
    }
    assert linked - known == set()
    assert {"claim", "record", "profile", "embedded set"} <= linked


def test_glossaries_are_read() -> None:
    assert terms_of("```{glossary}\n:sorted:\n\na\n  A letter.\n\nb c\n  Two.\n```\n") == ["a", "b c"]

"""MyST becomes Markdown that any notebook shows, and an edited text its source again."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.chapters.reading import Page, pieces_of, restored, shown

BIBLIOGRAPHY = """
@misc{two, author = {Kingma, Diederik P. and Ba, Jimmy}, title = {A}, year = {2015}, eprint = {1412.6980}}
@article{one, author = {L{\\'e}onard, N.}, title = {B}, year = {1998}, doi = {10.1/x}, eprint = {9}}
@misc{three, author = {De Palma, A. and B, B. and C, C.}, title = {C}, year = {2021}, url = {https://a.org}}
@misc{rest, author = {D, D. and others}, title = {D}, year = {2022}}
"""
KINGMA = "[Kingma and Ba (2015)](https://arxiv.org/abs/1412.6980)"
HUB = "https://github.com/a/b"


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "book" / "part").mkdir(parents=True)
    (tmp_path / "book/references.bib").write_text(BIBLIOGRAPHY)
    (tmp_path / "book/data.md").write_text("---\nx: 1\n---\n\n# Data sets\n")
    (tmp_path / "book/map.svg").write_text("")
    return Page(tmp_path, "book/part/p01.md", HUB)


# What the source says: what a notebook of a published book shows.
SHOWN = {
    "Adam {cite}`two` is": f"Adam {KINGMA} is",
    "{cite:t}`one, rest`": "[Léonard (1998)](https://doi.org/10.1/x); D et al. (2022)",
    "{cite}`three`": "[De Palma et al. (2021)](https://a.org)",
    "{cite}`nobody`": "nobody",
    "a {term}`profile` and {term}`two words <entry>`": "a profile and two words",
    "{math}`x` and {eq}`eq-a`": "$x$ and (eq-a)",
    "see [the *data*](../data.md)": f"see [the *data*]({HUB}/blob/main/book/data.md)",
    "[](../data.md#a)": f"[Data sets]({HUB}/blob/main/book/data.md)",
    "[a\nb](/book/data.md)": f"[a\nb]({HUB}/blob/main/book/data.md)",
    "[by {term}`x`](../data.md)": f"[by x]({HUB}/blob/main/book/data.md)",
    "![map](../map.svg)": f"![map]({HUB}/raw/main/book/map.svg)",
    "[here](#part-1), [there](https://a.org/b.md)": "here, [there](https://a.org/b.md)",
    "f[i](x) and [gone](../gone.md)": "f[i](x) and [gone](../gone.md)",
    "`{term}` and ``a {cite}`two` ``": "`{term}` and ``a {cite}`two` ``",
    "```python\n{term}`x`\n```\n{term}`y`": "```python\n{term}`x`\n```\ny",
    "$$\na_1\n$$ (eq-a)\nand": "$$\na_1\n$$\nand",
    "$$a$$ of $b$ by {cite}`two`, $c$": f"$$a$$ of $b$ by {KINGMA}, $c$",
    "(label)=\n# T\n% hidden\nText": "# T\nText",
    ":::{dropdown} More\nText {term}`x`.\n:::\nAfter": (
        "<details><summary>More</summary>\n\nText x.\n\n</details>\nAfter"
    ),
    "````{dropdown} More\n```{dropdown} Yet more\nText\n```\n````": (
        "<details><summary>More</summary>\n\n<details><summary>Yet more</summary>\n\nText\n\n</details>\n\n"
        "</details>"
    ),
    "```{note}\n:class: tip\nOne {cite}`two`\ntwo.\n```": f"> **Note**\n>\n> One {KINGMA}\n> two.\n",
    ":::{admonition} Mind\nOne.\n:::": "> **Mind**\n>\n> One.\n",
    ":::{figure} ../map.svg\n:alt: A map\nThe {term}`x`.\n:::": (
        f"![A map]({HUB}/raw/main/book/map.svg)\n\nThe x.\n"
    ),
    "```{math}\na\n```": "$$\na\n$$",
    ":::{code} python\n{term}`x`\n:::": "```python\n{term}`x`\n```",
    "```{bibliography}\n:filter: x\n```\nEnd": "End",
}


@pytest.mark.parametrize("source", SHOWN)
def test_what_a_notebook_shows(page: Page, source: str) -> None:
    pieces = pieces_of(source, page)
    assert shown(pieces) == SHOWN[source]
    assert "".join(said for said, _ in pieces) == source
    assert restored(pieces, SHOWN[source]) == source


def test_a_book_without_an_address_shows_text(page: Page) -> None:
    nowhere = Page(page.root, page.name)
    for source, there in {
        "see [the *data*](../data.md)": "see the *data*",
        "![map](../map.svg)": "*map*",
        ":::{figure} ../map.svg\n:alt: A map\nThe x.\n:::": "*A map*\n\nThe x.\n",
    }.items():
        assert shown(pieces_of(source, nowhere)) == there


def test_an_edit_leaves_the_source_around_it(page: Page) -> None:
    source = (
        "# The title\n\nAdam {cite}`two` has a {term}`profile`, as the profile says and [data](../data.md).\n"
        "(x)=\n:::{dropdown} More {term}`words`\nThe old text {cite}`one`.\n:::\n\n:::{note}\nOne\ntwo\n:::\n"
    )
    pieces = pieces_of(source, page)
    for old, new in {
        "The title": "A heading",
        "has a": "has no",
        "as the profile says": "as the *profile* of a run says",
        "The old text": "New text, of two\nlines, a profile among them",
        "says and": "says and, with a new citation [Kingma and Ba (2015)](https://arxiv.org/abs/1412.6980),",
        "One\n": "One\n> and a half\n",
    }.items():
        text = shown(pieces)
        assert old in text
        back = restored(pieces, text.replace(old, new, 1))
        assert shown(pieces_of(back, page)) == text.replace(old, new, 1)
        gone = [line for line in source.splitlines() if line not in back.splitlines()]
        assert len(gone) <= 1, (old, back)
    without = restored(pieces, shown(pieces).replace(f" {KINGMA}", ""))
    assert without == source.replace(" {cite}`two`", "")

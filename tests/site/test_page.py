"""The last touch on pages: folds, what a chapter found on top, cells that name their column."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import plain_sphinx
import pytest
from plain_sphinx import write_pages
from trial import HEADER

from labkit.site.page import label_cells

CHAPTER = """# A trial

What happens, and why one cares.

```{code-cell}
:tags: [parameters, hide-cell]

seed = 0
```

```{code-cell}
:tags: [claims, hide-input]

claimed = 1
```

```{code-cell}
:tags: [in-short]

found = 1
```

## Part 1

```{code-cell}
:tags: [hide-input]

drawn = 1
```

```{code-cell}
:tags: [exercise]

# solution
answered = 1
# end
checked = answered
```
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    root: Path = tmp_path_factory.mktemp("page")
    write_pages(root, {"intro": "# Intro\n", "p00-trial": HEADER + CHAPTER})
    code, _, errors = plain_sphinx.build(root)
    assert code == 0, errors
    return (root / "_build/html/book/p00-trial.html").read_text(encoding="utf-8")


def test_in_short_stands_below_the_first_paragraph(html: str) -> None:
    words = ("why one cares", "found", "seed", "claimed", 'id="part-1"', "drawn", "answered")
    assert sorted(words, key=html.rindex) == list(words)


def test_each_fold_says_what_it_holds(html: str) -> None:
    prompts = re.findall(r'<p class="collapsed admonition-title">(.*?)</p>', html)
    assert [prompt.removeprefix("Show ") for prompt in prompts] == [
        "the parameters",
        "the claims as code",
        "code cell source",  # the words for others are in _config.yml
        "the solution",
    ]


def labelled(body: str) -> str:
    context = {"body": body}
    label_cells(SimpleNamespace(), "a", "b", context, None)  # type: ignore[arg-type]
    return context["body"]


def table(heads: list[str], cells: list[str]) -> str:
    head = "".join(f'<th class="head"><p>{head}</p></th>' for head in heads)
    row = "".join(f"<td><p>{cell}</p></td>" for cell in cells)
    rows = f"<thead><tr>{head}</tr></thead><tbody><tr>{row}</tr><tr>{row}</tr></tbody>"
    return f'<p>x</p><table class="table">{rows}</table>'


def test_cells_of_a_wide_table_name_their_column() -> None:
    made = labelled(table(["<b>a</b> &amp; b", "c", "", "d"], ["1", "2", "3", "4"]))
    assert re.findall(r'<td data-label="(.*?)"><p>(\d)', made) == 2 * [
        ("a &amp; b", "1"),
        ("c", "2"),
        ("", "3"),
        ("d", "4"),
    ]
    assert '<table class="lk-wide table">' in made


def test_a_narrow_table_stays_as_it_is() -> None:
    for body in (table(["a", "b", "c"], ["1", "2", "3"]), "<p>no table</p>", ""):
        assert labelled(body) == body

"""No measured number is typed by hand: a scanner over the prose of the chapters.

The rule. A sentence is a finding when it holds both a quantity (a number, in digits or in words, with a unit
such as %, points, seconds or times; or a bare decimal) and a word of measurement (accuracy, loss, faster,
learns and the like). It is none when it names whose number that is: a citation, the assignment, a table or
figure of a paper, theory, or the tag [memory]. A question is none either: it asks, and states no result.

Prose is the text of a chapter, and in its code what `say` prints and what `alt` tells. Headings, code,
formulas, the targets of links and the table below "What we will show" are not looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.chapters.chapter import chapters
from labkit.source.files import PACKAGE

BOOK = PACKAGE.parent

NUMBER = (
    r"(?:\d[\d,]*(?:\.\d+)?|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|"
    r"forty|fifty|sixty|hundred|thousand|million)"
)
UNIT = (
    r"(?:%|(?:percent|points?|decades?|seconds?|minutes?|hours?|times|fold|s|ms|min|h|images/s|[kMG]B|"
    r"orders of magnitude)\b)"
)
QUANTITY = re.compile(
    rf"(?:\b{NUMBER}[\s-]*{UNIT}|\b\d+\.\d+\b|"
    r"\b(?:in|within|under|about|takes) an? (?:second|minute|hour)\b)",
    re.IGNORECASE,
)
MEASUREMENT = re.compile(
    r"\b(accura\w+|errors?|loss\w*|AUROC|AUC|ECE|calibrat\w+|perplexity|robust\w*|throughput|speed\w*|"
    r"faster|slower|better|worse|higher|lower|larger|smaller|more|fewer|gaps?|decades|learns?|learned|"
    r"trains|trained|takes?|took|costs?|reach\w*|gain\w*|drop\w*|fall\w*|fell|rises?|rose|improve\w*|"
    r"outperform\w*|agree\w*|scores?|measured?|found|shrinks?|grows?|grew)\b",
    re.IGNORECASE,
)
SOURCE = re.compile(
    r"\{cite|asks? for|\bassignment|\[memory\]|\btheor|\b(?:Table|Figure|Section)\s+\d", re.IGNORECASE
)

CODE = re.compile(
    r"^```(?:\w*|\{(?:code-cell|code|code-block|math)\}.*)\n.*?^```[ ]*$", re.DOTALL | re.MULTILINE
)


def prose_of(source: str) -> Iterator[str]:
    """Yield the paragraphs of a chapter, and the strings that its code prints as sentences."""
    source = re.sub(r"\A---\n.*?\n---\n", "", source, flags=re.DOTALL)
    for cell in re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", source, flags=re.DOTALL | re.MULTILINE):
        yield from _spoken("\n".join(line for line in cell.splitlines() if not line.startswith(":")))
    source = CODE.sub("", source)
    source = re.sub(r"^(?::::|```).*$", "", source, flags=re.MULTILINE)  # what stands in a note is prose
    source = re.sub(r"^## What we will show\n.*?(?=^## )", _without_table, source, flags=re.DOTALL | re.M)
    source = re.sub(r"\$\$.*?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$", " ", source, flags=re.DOTALL)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) |\|)", source):
        if not block.lstrip().startswith("#"):
            # A citation's keys go, its role stays: it names the source.
            text = re.sub(r"\{(\w+)\}`[^`]*`", r"{\1}", block)
            yield " ".join(re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", " ", text).split())


def _without_table(section: re.Match[str]) -> str:
    return "".join(line for line in section[0].splitlines(keepends=True) if not line.startswith("|"))


def _spoken(code: str) -> Iterator[str]:
    """Yield the texts handed to `say`, without the names in braces, and those called `alt`."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            said = node.args if isinstance(node.func, ast.Name) and node.func.id == "say" else []
            for value in (*said, *(word.value for word in node.keywords if word.arg == "alt")):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield re.sub(r"\{[^{}]*\}", " ", value.value)


def typed_numbers(source: str) -> list[str]:
    """Return the sentences of a chapter that state a measured number and no source."""
    sentences = (
        part for text in prose_of(source) for part in re.split(r"(?<=[.!?])[*_)]*\s+(?=\W*[A-Z])", text)
    )
    return [
        sentence
        for sentence in sentences
        if QUANTITY.search(sentence)
        and MEASUREMENT.search(sentence)
        and not SOURCE.search(sentence)
        and not sentence.rstrip("*_) ").endswith("?")
    ]


CAUGHT = [
    "The network reaches an accuracy of 71.3 % on the test images.",
    "Its accuracy is 93% after training.",
    "Flips gain three points.",
    "The pruned network is 2.5 times faster.",
    "Training takes 12 minutes on two cores.",
    "It trains in 40 s.",
    "The loss falls to 0.02 at the end.",
    "The gradients are eight decades smaller.",
    "We measured 1,650 images/s.",
    "AUROC is 0.91 for the ensemble.",
    "The robust accuracy\nis 4.5 %, as the figure shows.",
    "- The error drops by 3 points.",
    "| own network | accuracy 75 % |",
    "> The small network learns the set in a minute.",
    ":::{note}\nIt is 12-fold faster.\n:::",
    "```{tip}\nIt is 12-fold faster.\n```",
    '```{code-cell}\n:tags: [figure]\n\nsay(lab, "The accuracy is 74 %, and {name}.")\n```',
    '```{code-cell}\nfigure(lab, "R1", draw, alt="Curves whose accuracy ends at 74 %")\n```',
]
PASSED = [
    "The paper reports an accuracy of 93.57 % {cite}`he2016deep`.",
    "The assignment asks for an accuracy of 68 %.",
    "Table 2 gives an error of 6.97 %.",
    "Those who ran it recall an accuracy of 60 % [memory].",
    "In theory the signal is 2.5 times smaller.",
    "Will the accuracy be higher than 50 %?",
    "*Will it be ten times faster?*",
    "The learning rate is 0.001.",
    "We train 2,000 iterations with batches of 100.",
    "Five 3×3 convolutions suffice for higher accuracy.",
    "The accuracy goes up, with $p = 0.25$ and `rate=0.1 s`.",
    "$$ accuracy = 71.3 $$",
    "## An accuracy of 71.3 %",
    "```python\naccuracy = 71.3  # accuracy 71 %\n```",
    "More in [the table](https://example.org/accuracy-71.3).",
    "## What we will show\n\n| R1 | an accuracy of 68 % |\n\n## Next\n",
    "```{code-cell}\nlab.claim('R1', 'Accuracy is above 40 %', accuracy - 0.4)\n```",
    '```{code-cell}\nsay(lab, "The accuracy is {accuracy after 40 %}.")\n```',
]


@pytest.mark.parametrize("text", CAUGHT)
def test_a_typed_result_is_caught(text: str) -> None:
    assert len(typed_numbers(f"---\nkernelspec: x\n---\n\n# A\n\n{text}\n")) == 1


@pytest.mark.parametrize("text", PASSED)
def test_what_is_no_typed_result_passes(text: str) -> None:
    assert typed_numbers(f"---\nkernelspec: x\n---\n\n# A\n\n{text}\n") == []


def test_only_the_sentence_that_states_it_is_named() -> None:
    text = "It learns well. Its accuracy is 71.3 %. Table 2 has more."
    assert typed_numbers(text) == ["Its accuracy is 71.3 %."]


@pytest.mark.parametrize("source", [chapter.source for chapter in chapters(BOOK)], ids=lambda path: path.stem)
def test_no_chapter_states_a_measured_number_by_hand(source: Path) -> None:
    found = typed_numbers(source.read_text(encoding="utf-8"))
    assert not found, "\n".join(["measured numbers typed by hand, or a source not named:", *found])

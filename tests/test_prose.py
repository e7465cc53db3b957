"""No measured number is typed by hand, and no comparison: a scanner over the prose of the chapters.

The first rule. A sentence is a finding when it holds both a quantity (a number, in digits or in words, with a
unit such as %, points, seconds or times; or a bare decimal) and a word of measurement (accuracy, loss,
faster, learns and the like). It is none when it names whose number that is: a citation, the assignment, a
table or figure of a paper, theory, or the tag [memory]. A question is none either: it states no result.

The second rule. What runs showed ("in every seed", "is ahead") is said by `when`, which follows the records.
So are all comparisons among what code says, or describes a figure by.

Prose is the text of a chapter, and in its code what `say`, `in_short` and `when` print, what `alt` and
`caption` tell. Headings, code, formulas, the targets of links and the table below "What we will show" are not
looked at.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
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

# What only runs can show, and what compares.
SHOWN = re.compile(
    r"\b(?:in|over|for) (?:every|all|each|both|most|none|no|any)(?: of)?(?: the| our)?(?: \w+)? "
    r"(?:seeds?|runs?)\b|"
    r"\b(?:our|the) (?:recorded )?(?:runs|records|seeds) (?:show|agree|say|confirm)|"
    r"\b(?:is|are|was|were|stays?|comes?|came) (?:out )?ahead\b",
    re.IGNORECASE,
)
COMPARED = re.compile(
    r"\b(?!(?:rather|other|whether|another)\b)(?:\w+er|worse|(?:more|less|fewer) (?!than)\w+)"
    r"(?: \S+){0,3} than\b|"
    r"\b(?:beats?|outperform\w*)\b",
    re.IGNORECASE,
)

CODE = re.compile(
    r"^```(?:\w*|\{(?:code-cell|code|code-block|math)\}.*)\n.*?^```[ ]*$", re.DOTALL | re.MULTILINE
)


def cells_of(source: str) -> Iterator[ast.Module]:
    """Yield the code cells of a chapter."""
    for cell in re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", source, flags=re.DOTALL | re.MULTILINE):
        yield ast.parse("\n".join(line for line in cell.splitlines() if not line.startswith(":")))


def prose_of(source: str) -> Iterator[str]:
    """Yield the paragraphs of a chapter."""
    source = CODE.sub("", re.sub(r"\A---\n.*?\n---\n", "", source, flags=re.DOTALL))
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


def spoken(source: str, *, bound: bool) -> Iterator[str]:
    """Yield the texts in the code of a chapter: those `bound` to a claim by `when`, or all others."""
    for call in (node for cell in cells_of(source) for node in ast.walk(cell) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if bound:
            told = [word.value for word in call.keywords if name == "when"]
        else:
            told = [word.value for word in call.keywords if word.arg in ("alt", "caption")]
            told += call.args if name in ("say", "in_short") else []
        for value in told:
            for part in ast.walk(value) if not isinstance(value, ast.Call) else ():
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield re.sub(r"\{[^{}]*\}", " ", part.value)


def sentences(texts: Iterable[str]) -> list[str]:
    """Return the sentences of `texts` that are no questions."""
    parts = [part for text in texts for part in re.split(r"(?<=[.!?])[*_)]*\s+(?=\W*[A-Z])", text)]
    return [part for part in parts if not part.rstrip("*_) ").endswith("?")]


def typed_numbers(source: str) -> list[str]:
    """Return the sentences of a chapter that state a measured number and no source."""
    told = [*spoken(source, bound=False), *spoken(source, bound=True), *prose_of(source)]
    return [
        sentence
        for sentence in sentences(told)
        if QUANTITY.search(sentence) and MEASUREMENT.search(sentence) and not SOURCE.search(sentence)
    ]


def typed_comparisons(source: str) -> list[str]:
    """Return the sentences of a chapter that say what runs showed, or compare, and follow no record."""
    free = sentences(spoken(source, bound=False))
    return [
        sentence
        for sentence in (*free, *sentences(prose_of(source)))
        if not SOURCE.search(sentence)
        and (SHOWN.search(sentence) or (sentence in free and COMPARED.search(sentence)))
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
    '```{code-cell}\nfigure(lab, "R1", draw, caption="The accuracy ends at 74 %")\n```',
    '```{code-cell}\nsay(lab, when(better, supported="It gains 3 points of accuracy."))\n```',
    '```{code-cell}\nin_short(lab, curves, "It learns in 12 minutes.")\n```',
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
    "```{code-cell}\nevidence.claim('R1', 'Accuracy is above 40 %', accuracy > 0.4)\n```",
    '```{code-cell}\nsay(lab, "The accuracy is {accuracy}.", accuracy=after(share=0.4))\n```',
    "```{code-cell}\nevidence.claim('R1', 'A is better', a > b, paper='A gains 3 points of accuracy')\n```",
]
COMPARING = [
    "Mixup is ahead in every seed.",
    "In all five seeds the gap closes.",
    "The network with cutout stays ahead.",
    "This holds for each of the recorded runs.",
    "Our runs show that it helps.",
    '```{code-cell}\nsay(lab, "Mixup is more accurate than the baseline: {gain}.", gain=gain)\n```',
    '```{code-cell}\nin_short(lab, curves, when(a, otherwise="x"), "Mixup beats the baseline.")\n```',
    '```{code-cell}\nfigure(lab, curves, caption="Mixup ends higher than the rest.", alt="A curve")\n```',
    '```{code-cell}\nfigure(lab, curves, caption="Two curves.", alt="One is steeper than the other")\n```',
]
LEFT_OPEN = [
    "Deeper networks are harder to train than shallow ones.",
    "Is mixup ahead in every seed?",
    "Each seed draws its own subset, and all eight seeds are recorded.",
    "We look ahead.",
    '```{code-cell}\nsay(lab, when(a, supported="Mixup is better than the baseline, in every seed."))\n```',
    '```{code-cell}\nsay(lab, "No pixel changes by more than {most}.", most=most)\n```',
    '```{code-cell}\nsay(lab, "Rather than guess, we measure: {gain}.", gain=gain)\n```',
    "```{code-cell}\nevidence.claim('R1', 'Mixup is more accurate than the baseline', a > b)\n```",
    '```{code-cell}\nfigure(lab, curves, caption="Is one steeper than the other?", alt="Two curves")\n```',
]


@pytest.mark.parametrize("text", CAUGHT)
def test_a_typed_result_is_caught(text: str) -> None:
    assert len(typed_numbers(f"---\nkernelspec: x\n---\n\n# A\n\n{text}\n")) == 1


@pytest.mark.parametrize("text", PASSED)
def test_what_is_no_typed_result_passes(text: str) -> None:
    assert typed_numbers(f"---\nkernelspec: x\n---\n\n# A\n\n{text}\n") == []


@pytest.mark.parametrize("text", COMPARING)
def test_a_typed_comparison_is_caught(text: str) -> None:
    assert len(typed_comparisons(f"---\nkernelspec: x\n---\n\n# A\n\n{text}\n")) == 1


@pytest.mark.parametrize("text", LEFT_OPEN)
def test_what_follows_the_records_passes(text: str) -> None:
    assert typed_comparisons(f"---\nkernelspec: x\n---\n\n# A\n\n{text}\n") == []


def test_only_the_sentence_that_states_it_is_named() -> None:
    text = "It learns well. Its accuracy is 71.3 %. Table 2 has more."
    assert typed_numbers(text) == ["Its accuracy is 71.3 %."]


@pytest.mark.parametrize("source", [chapter.source for chapter in chapters(BOOK)], ids=lambda path: path.stem)
def test_no_chapter_states_a_measured_number_by_hand(source: Path) -> None:
    found = typed_numbers(source.read_text(encoding="utf-8"))
    assert not found, "\n".join(["measured numbers typed by hand, or a source not named:", *found])


@pytest.mark.parametrize("source", [chapter.source for chapter in chapters(BOOK)], ids=lambda path: path.stem)
def test_no_chapter_says_by_hand_what_runs_showed(source: Path) -> None:
    found = typed_comparisons(source.read_text(encoding="utf-8"))
    assert not found, "\n".join(["comparisons that follow no record: bind them with `when`:", *found])

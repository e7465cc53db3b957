"""Sentences: which of them is said follows from the records, and so do the numbers in them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial import claimed, lab_of, recorded, rows, write_book

from labkit.chapters.chapter import Chapter
from labkit.errors import LabkitError
from labkit.lab.session import Lab
from labkit.show.say import say, verdicts, when


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return write_book(tmp_path)


def record(chapter: Chapter, gain: float, *, a: float = 0.5, spread: float = 0.01) -> None:
    """Record three seeds in which B has `gain` more than A has."""
    for seed in (0, 1, 2):
        tables = {"R1": rows(a, a + gain + (seed - 1) * spread)}
        recorded(chapter, seed, rows=tables).write(chapter.root / "results")


def opened(chapter: Chapter, gain: float = 0.2) -> tuple[Lab, SimpleNamespace]:
    """Return a lab whose run has this gain, and the names of the cell that claims."""
    lab = lab_of(chapter, R1=rows(0.3, 0.3 + gain))
    return lab, claimed(lab)


SAID = {
    "supported": ("better", {"gain": 0.1}),
    "contradicted": ("worse", {"gain": -0.1}),
    "no_difference": ("no better and no worse", {"gain": 0.0, "spread": 0.001}),
    "undecided": ("perhaps better", {"gain": 0.02, "spread": 0.3}),
    "not_testable": ("not to be known", {"gain": 0.1, "a": 0.3}),
}


@pytest.mark.parametrize("verdict", SAID)
def test_the_sentence_is_that_of_the_verdict(chapter: Chapter, verdict: str) -> None:
    sentence, made = SAID[verdict]
    record(chapter, **made)
    lab, names = opened(chapter)
    sentences = {name: f"It is {text}." for name, (text, _) in SAID.items()}
    told = say(lab, "First.", when(names.better, **sentences), "Last.")
    assert told.data == f"First. It is {sentence}. Last."
    left = {name: text for name, text in sentences.items() if name != verdict}
    assert say(lab, when(names.better, **left, otherwise="It is so.")).data == "It is so."
    with pytest.raises(LabkitError) as caught:
        say(lab, when(names.better, **left))
    said = verdict.replace("_", " ")
    assert str(caught.value).startswith(f"the claim 'B beats A' is {said}, and the text has a sentence for ")
    assert said not in str(caught.value).partition("sentence for")[2].split(", ")


def test_an_altered_record_turns_the_sentence_or_stops_the_page(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_PAGE", "1")

    def told(**sentences: str) -> str:
        lab, names = opened(chapter)
        return say(lab, when(names.better, **sentences), gain=names.gain).data

    both: dict[str, Any] = {"supported": "B gains {gain}.", "contradicted": "B loses: {gain}."}
    record(chapter, 0.1)
    assert told(**both) == "B gains 10.0\u00a0points."
    record(chapter, -0.1)
    assert told(**both) == "B loses: -10.0\u00a0points."
    with pytest.raises(LabkitError, match=r"'B beats A' is contradicted, .* a sentence for supported only"):
        told(supported="B gains {gain}.")


def test_an_empty_sentence_leaves_no_gap(chapter: Chapter) -> None:
    record(chapter, 0.1)
    lab, names = opened(chapter)
    assert say(lab, "One.", when(names.better, supported=""), "Two.").data == "One. Two."


def test_without_records_it_says_that_nobody_knows(chapter: Chapter) -> None:
    lab, names = opened(chapter)
    told = say(lab, when(names.better, supported="It is better."))
    assert told.data == "*Not recorded yet, whether this holds: B beats A.*"


def test_numbers_are_means_on_a_page_and_ones_own_first_in_a_notebook(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, names = opened(chapter)
    assert say(lab, "A has {a}.", a=names.accuracy(arm="A")).data == "A has 30.0\u00a0% (this run)."
    record(chapter, 0.1, a=0.6)
    lab, names = opened(chapter)
    told = "A has 30.0\u00a0% (this run; recorded: 60.0\u00a0%)."
    assert say(lab, "A has {a}.", a=names.accuracy(arm="A")).data == told
    ratio = names.accuracy(arm="B") / names.accuracy(arm="A")
    assert say(lab, "{ratio}", ratio=ratio).data.startswith("1.67\u00a0times (this run; recorded: 1.17")
    lab._record.rows.clear()  # the run has not come to it
    assert say(lab, "{a}", a=names.accuracy(arm="A")).data == "– (this run; recorded: 60.0\u00a0%)"

    monkeypatch.setenv("LABKIT_PAGE", "1")
    lab, names = opened(chapter)
    assert say(lab, "A has {a}.", a=names.accuracy(arm="A")).data == "A has 60.0\u00a0%."


def test_an_unknown_name_is_named_with_those_there_are(chapter: Chapter) -> None:
    lab, names = opened(chapter)
    with pytest.raises(LabkitError, match=r"^no quantity is given for {again}; given are: gain$"):
        say(lab, "{again}", gain=names.gain)


def test_verdicts_list_the_claims_of_a_row_primary_first_controls_last(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(chapter, 0.1)
    lab, names = opened(chapter)
    lab._evidence.claim("R2", "A is bad", names.accuracy(arm="A") < 0.6, paper="X et al.: it is")
    told = verdicts(lab, "R1").data
    lines = [line.partition("</b> ")[2].split("</span>")[0] for line in told.splitlines()]
    assert list(filter(None, lines)) == ["B beats A.", "B is right more often than not.", "A learns."]
    better, *_ = [line for line in told.splitlines() if "B beats A" in line]
    assert "*(primary)*" in better
    assert "✓</span> supported" in better
    assert "+10.0 [+7.5, +12.5]\u00a0points" in better
    assert "margin 1.0\u00a0points" in better
    assert "this run: +20.0\u00a0points" in better
    assert "added after the runs" not in better
    [other] = [line for line in verdicts(lab, "R2").data.splitlines() if "A is bad" in line]
    assert "✓</span> reproduced" in other
    assert "added after the runs" in other
    assert "the paper: X et al.: it is" in other
    monkeypatch.setenv("LABKIT_PAGE", "1")
    lab, _ = opened(chapter)
    assert "this run" not in verdicts(lab).data

"""Every exercise of every chapter: the solution is accepted; the stub and two wrong answers are not."""

from __future__ import annotations

import importlib
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from labkit.chapters.cells import TAG, solution, stub, with_answer
from labkit.chapters.chapter import Chapter, chapters
from labkit.chapters.pairing import notebook_from
from labkit.errors import LabkitError
from labkit.exercises import checking
from labkit.exercises.checking import NotYet, Verdict, checker, own_claim, same

CHAPTERS = chapters()


def exercise_cells(chapter: Chapter) -> list[str]:
    cells = [cell for cell in chapter.read().cells if cell.cell_type == "code"]
    return [cell.source for cell in cells if TAG in cell.metadata.get("tags", [])]


def verdict_of(cell: str) -> Verdict:
    """Run an exercise cell by itself, as a reader may, and return what its last line shows."""
    *lines, last = cell.rstrip().split("\n")
    namespace: dict[str, Any] = {"__name__": "exercise"}
    exec("\n".join(lines), namespace)
    verdict = eval(last, namespace)
    assert isinstance(verdict, Verdict), f"{last!r} shows no verdict"
    return verdict


def name_of(cell: str) -> str:
    """Return the checker's name, which is that of the function the reader writes."""
    return cell.rstrip().split("\n")[-1].split("(")[0].split(".")[1]


EXERCISES = [(chapter, cell) for chapter in CHAPTERS for cell in exercise_cells(chapter)]
IDS = [f"{chapter.number}-{name_of(cell)}" for chapter, cell in EXERCISES]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.number)
def test_a_chapter_has_six_exercises_or_more(chapter: Chapter) -> None:
    text = chapter.source.read_text(encoding="utf-8").partition("\n## Exercises\n")[2]
    names = [name_of(cell) for cell in exercise_cells(chapter)]
    assert len(names) >= 6
    assert len(set(names)) == len(names)
    assert text.count(":tags: [exercise]") == len(names), "exercises stand below their heading"
    levels = [level for level in ("(easy)", "(medium)", "(open)") if level in text]
    assert levels == ["(easy)", "(medium)", "(open)"], "from easy to open-ended"


@pytest.mark.parametrize(("chapter", "cell"), EXERCISES, ids=IDS)
def test_the_solution_is_accepted(chapter: Chapter, cell: str) -> None:
    verdict = verdict_of(cell)
    assert verdict.accepted, verdict.hint


def test_p01_takes_an_array_for_a_list() -> None:
    [cell] = [cell for _, cell in EXERCISES if name_of(cell) == "gain_per_halving"]
    verdict = verdict_of(cell.replace("return slopes", "return np.array(slopes)"))
    assert verdict.accepted, verdict.hint


@pytest.mark.parametrize(("chapter", "cell"), EXERCISES, ids=IDS)
def test_the_stub_is_rejected_with_a_hint(chapter: Chapter, cell: str) -> None:
    verdict = verdict_of(stub(cell))
    assert not verdict.accepted
    assert verdict.hint


@pytest.mark.parametrize(("chapter", "cell"), EXERCISES, ids=IDS)
def test_two_wrong_answers_are_rejected(chapter: Chapter, cell: str) -> None:
    planted = importlib.import_module(f"wrong_answers.{chapter.number}").WRONG[name_of(cell)]
    assert len(set(planted)) >= 2
    hints = []
    for answer in planted:
        verdict = verdict_of(with_answer(cell, answer))
        assert not verdict.accepted, f"accepted: {answer}"
        assert "SyntaxError" not in verdict.hint
        assert "NameError" not in verdict.hint
        hints.append(verdict.hint)
    assert all(hints)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.number)
def test_the_students_notebook_has_the_stubs_and_no_solution(chapter: Chapter) -> None:
    sources = [cell.source for cell in notebook_from(chapter).cells]
    for cell in exercise_cells(chapter):
        assert stub(cell) in sources
        assert cell not in sources
    assert not any("# solution" in source for source in sources)


CELL = "def f(x):\n    # solution\n    y = x\n    return y\n    # end\n\n\np.f(f)"


def test_solution_stub_and_answer_are_cut_and_set_in_place() -> None:
    assert solution(CELL) == "    y = x\n    return y\n"
    assert stub(CELL) == "def f(x):\n    ...  # your turn\n\n\np.f(f)"
    assert with_answer(CELL, "if x:\n    return 1") == "def f(x):\n    if x:\n        return 1\n\n\np.f(f)"


@pytest.mark.parametrize("cell", ["def f(x):\n    return x\n", CELL + "\n" + CELL])
def test_an_exercise_without_one_solution_is_refused(cell: str) -> None:
    with pytest.raises(LabkitError, match=r"has [02] places .*allowed: one"):
        stub(cell)


def test_an_answer_that_fails_is_not_accepted_and_its_error_is_named() -> None:
    @checker
    def half(answer: Any) -> None:
        same(answer(4), 2, "half(4)")

    assert half(lambda x: x // 2).accepted
    assert half(lambda x: x / 0).hint == "It stops with ZeroDivisionError: division by zero"
    assert half(lambda x: x).hint == "half(4) is 4; it should be 2."
    assert half(lambda x: None).hint == "half(4) is still missing: your function returns None."


def test_what_a_checker_stumbles_over_is_told_and_not_its_stumble() -> None:
    @checker
    def share(answer: Any) -> None:
        same(float(answer(4)), 2.0, "share(4)")

    assert share(lambda x: 2).accepted
    for value, told in {
        None: "None",
        "abc": "a value of type str",
        (1, 2): "a value of type tuple of 2",
        torch.zeros(2, 3): "a tensor of shape (2, 3)",
    }.items():
        verdict = share(lambda x, value=value: value)
        assert verdict.hint == f"It returns {told}, which is not what was asked for."
    assert share(lambda x: float("x")).hint.startswith("It stops with ValueError: could not convert")
    assert share(3).hint.startswith("It stops with TypeError")


WRONG_TYPES = [None, 3, "abc", (), {}, torch.zeros(3)]


@pytest.mark.parametrize(("chapter", "cell"), EXERCISES, ids=IDS)
def test_no_answer_of_another_type_looks_like_an_error_within(chapter: Chapter, cell: str) -> None:
    module = importlib.import_module(f"labkit.exercises.{chapter.number}")
    for value in WRONG_TYPES:
        verdict = getattr(module, name_of(cell))(lambda *_, value=value, **__: value)
        assert not verdict.accepted
        assert not verdict.hint.startswith("It stops with"), (value, verdict.hint)


def test_an_answer_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "LONGEST", 0.2)

    @checker
    def one(answer: Any) -> None:
        same(answer(), 1, "one()")

    def endless() -> None:
        while True:
            pass

    def stubborn() -> None:
        while True:
            try:
                endless()
            except Exception:
                continue

    before = signal.getsignal(signal.SIGALRM)
    for answer in (endless, stubborn):
        verdict = one(answer)
        assert (verdict.accepted, verdict.hint) == (False, "It runs for more than 0 seconds. Does it end?")
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with ThreadPoolExecutor(1) as pool:  # where no signal can come, it is checked without a limit
        assert pool.submit(one, lambda: 1).result().accepted


GOOD = {
    "claim": "the sum is larger than the difference",
    "control": "the difference",
    "effects": [1.0, 1.1, 0.9],
    "verdict": "supported",
}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({}, ""),
        ({"effects": [1.0, 1.1]}, "2 seeds are too few"),
        ({"effects": [1.0, 1.0, 1.0]}, "does the seed reach"),
        ({"effects": [1.0, -1.0, 0.2]}, "says 'undecided'"),
        ({"verdict": "contradicted"}, "says 'supported'"),
        ({"effects": [-1.0, -1.1, -0.9]}, "says 'contradicted'"),
        ({"claim": "it is larger"}, "whole sentence"),
        ({"control": ""}, "what the control is"),
    ],
)
def test_a_claim_of_ones_own_needs_control_seeds_and_an_honest_verdict(
    change: dict[str, Any], hint: str
) -> None:
    if not hint:
        own_claim(lambda: GOOD)
        return
    with pytest.raises(NotYet, match=hint):
        own_claim(lambda: GOOD | change)

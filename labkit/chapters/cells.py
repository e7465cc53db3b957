"""Exercises in a chapter: written once with their solution, which the student's notebook does not have."""

from __future__ import annotations

import re

from labkit.errors import LabkitError

TAG = "exercise"
_SOLUTION = re.compile(
    r"^(?P<indent> *)# solution\n(?P<body>.*?)^(?P=indent)# end\n", re.DOTALL | re.MULTILINE
)


def solution(source: str) -> str:
    """Return the lines between ``# solution`` and ``# end`` in the cell `source`, as they are.

    Raises LabkitError unless there is exactly one such place.
    """
    found = _SOLUTION.findall(source)
    if len(found) != 1:
        raise LabkitError(f"an exercise cell has {len(found)} places '# solution ... # end'; allowed: one")
    return str(found[0][1])


def with_answer(source: str, answer: str) -> str:
    """Return the cell `source` with `answer`, lines of code without indentation, in the solution's place."""
    solution(source)

    def indented(match: re.Match[str]) -> str:
        return "".join(f"{match['indent']}{line}\n" if line else "\n" for line in answer.splitlines())

    return _SOLUTION.sub(indented, source)


def stub(source: str) -> str:
    """Return the cell `source` as a student gets it: without its solution."""
    return with_answer(source, "...  # your turn")

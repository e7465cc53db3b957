"""What all checkers share: a verdict that is shown, hints, and the check of an open-ended answer."""

from __future__ import annotations

import functools
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from labkit.measure.decisions import above, below

LONGEST = 20.0  # seconds that an answer may take


class NotYet(Exception):
    """An answer is not right; the message says what it does and what was asked for."""


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is accepted, and the hint where it is not; displays itself as a sentence."""

    accepted: bool
    hint: str = ""

    def _repr_markdown_(self) -> str:
        return "**Right.**" if self.accepted else f"**Not yet.** {self.hint}"


class _TooLong(BaseException):
    """An answer has run for too long; not an Exception, so that an answer does not catch it by chance."""


def checker(check: Callable[[Any], None]) -> Callable[[Any], Verdict]:
    """Return `check`, which raises NotYet for a wrong answer, as a function from answers to verdicts.

    An error within the answer is a wrong answer, too, and so is one that does not end: the verdict names it,
    and the notebook goes on. Where `check` stumbles over what the answer returned, the verdict tells that.
    """

    @functools.wraps(check)
    def checked(answer: Any) -> Verdict:
        watched = _Watched(answer)
        try:
            with _limited(LONGEST):
                # A class or a dict is taken as it is.
                check(watched.call if isinstance(answer, FunctionType) else answer)
        except NotYet as hint:
            return Verdict(False, str(hint))
        except _TooLong:
            return Verdict(False, f"It runs for more than {LONGEST:.0f} seconds. Does it end?")
        except Exception as error:
            if watched.returned and error is not watched.error:
                return Verdict(
                    False, f"It returns {_told(watched.returned[-1])}, which is not what was asked for."
                )
            return Verdict(False, f"It stops with {type(error).__name__}: {error}")
        return Verdict(True)

    return checked


class _Watched:
    """An answer that remembers what it returned last, and the error that it ended with."""

    def __init__(self, answer: Any) -> None:
        self.returned: list[Any] = []  # empty, or the last value
        self.error: Exception | None = None

        @functools.wraps(answer)
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                self.returned = [answer(*arguments, **named)]
            except Exception as error:
                self.error = error
                raise
            return self.returned[-1]

        self.call = call


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _TooLong inside after some seconds, where signals reach: in the main thread, not on Windows."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    # Again and again: an answer may catch it.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _told(value: Any) -> str:
    """Return what kind of value that is, in words."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    size = f" of {len(value)}" if isinstance(value, Sized) and not isinstance(value, str) else ""
    return f"a value of type {type(value).__name__}{size}"


def expect(condition: bool, hint: str) -> None:
    """Raise NotYet with `hint` unless `condition` holds."""
    if not condition:
        raise NotYet(hint)


def same(got: Any, expected: Any, what: str, tolerance: float = 1e-5) -> None:
    """Raise NotYet unless `got` is `expected`, numbers and tensors within `tolerance`; `what` names it."""
    expect(got is not None, f"{what} is still missing: your function returns None.")
    if isinstance(expected, Tensor):
        expect(isinstance(got, Tensor), f"{what} should be a tensor, not a {type(got).__name__}.")
        shapes = f"{what} has shape {tuple(got.shape)}; asked for is {tuple(expected.shape)}."
        expect(got.shape == expected.shape, shapes)
        near = torch.allclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance)
        expect(near, f"{what} has other values than asked for.")
    elif isinstance(expected, float):
        near = isinstance(got, int | float) and math.isclose(got, expected, rel_tol=tolerance)
        expect(near, f"{what} is {got!r}; it should be {expected:.6g}.")
    else:
        expect(got == expected, f"{what} is {got!r}; it should be {expected!r}.")


def own_claim(answer: Callable[[], Mapping[str, Any]]) -> None:
    """Check an open-ended answer, a claim of one's own; NotYet tells what it lacks.

    `answer()` returns its `claim` (a sentence), its `control` (what it is compared with), its `effects`
    (positive where the claim holds; one for each of three or more seeds) and its `verdict`.
    """
    told = answer()
    wanted = {"claim", "control", "effects", "verdict"}
    expect(isinstance(told, Mapping), "Your function should return a dict, and returns none.")
    expect(wanted <= set(told), f"Missing: {', '.join(sorted(wanted - set(told)))}.")
    words = str(told["claim"]).split()
    expect(len(words) >= 6, "Write the claim as a whole sentence, one that can be false.")
    expect(len(str(told["control"]).split()) >= 2, "Say in words what the control is.")
    effects = [float(effect) for effect in told["effects"]]
    expect(len(effects) >= 3, f"{len(effects)} seeds are too few to tell an effect from luck; take three.")
    expect(all(map(math.isfinite, effects)), "An effect is not a number.")
    expect(len(set(effects)) > 1, "All effects are equal: does the seed reach your experiment?")
    verdict = "undecided"
    if 2 * above(effects, 0) <= 0.05:
        verdict = "supported"
    elif 2 * below(effects, 0) <= 0.05:
        verdict = "contradicted"
    expect(told["verdict"] == verdict, f"The interval over your effects says {verdict!r}.")

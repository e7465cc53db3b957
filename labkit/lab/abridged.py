"""Trainings and passes over images cut short, and what the whole of them would take.

`Abridged.install` replaces, in the process of a rehearsal alone, what chapters call: the engine itself stays
as it is, and `repeat` is the real one, which is only handed fewer numbers of steps.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import statistics
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from labkit.adversarial.black_box.oracle import Oracle
from labkit.data.batches import Batch, Loader
from labkit.data.images import Images
from labkit.training import steps as engine
from labkit.training.callbacks import Callback, Training
from labkit.training.history import History
from labkit.training.recipe import Recipe

# Where chapters find what goes over images.
PASSING = (
    "labkit.measure.",
    "labkit.adversarial.",
    "labkit.adaptive.",
    "labkit.compress.",
    "labkit.regularize.",
    "labkit.uncertainty.",
    "labkit.data.corruptions",
)
LARGEST_KERNEL = 7
WAITED = Path("/proc/thread-self/schedstat")
QUERIES, FAR = 300, 0.05  # the latter: root of the mean square change of pixels 0..1
WHOLE, ENOUGH = 5, 0.2  # steps of full size: at most so many, in about so many seconds


@dataclass
class Passes:
    """Passes over images: how many, the seconds spent on them here, and those that all images would take."""

    number: float = 0
    spent: float = 0.0
    seconds: float = 0.0

    def add(self, other: Passes, times: float = 1) -> None:
        """Add `other`, which was met once and comes so many `times`."""
        self.number += times * other.number
        self.spent += other.spent
        self.seconds += times * other.seconds


class Abridged:
    """Cuts trainings and passes short, and adds up what they would take.

    Of a training, the first step is done, the one in the middle, the last, and one at each moment that a
    callback has (`every`, `step`). The middle one has the whole batch and is timed, and so are a few after it
    where they are quick; for the others a batch is cut to two times `size` images. What was logged is then
    repeated until the history is as long as that of the whole training.

    A pass, that is a call which hands more than that many images to a network or to one of the functions
    that measure or attack, sees two batches of `size`; its answer is repeated for all images, but what comes
    back as it went in comes back whole. A function that is given a `Recipe` trains, and one that is given an
    `Oracle` asks: these are no passes themselves.

    An attack on an `Oracle`, that is a function of it and a `seed`, has at most `QUERIES` for each image.
    What is adversarial cannot be told from answers that were repeated: here it is all that is `FAR` away.
    """

    def __init__(self, size: int, tell: Callable[[str, int, float], None]) -> None:
        self.size, self.tell = size, tell
        self.spent, self.seconds, self.passes = 0.0, 0.0, 0.0
        self._repeat = engine.repeat
        self._busy = self._passing = self._asking = self._small = False
        self._aside: Passes | None = None  # those of the present step; None outside of a training

    def install(self) -> None:
        """Put the abridged functions in the place of the real ones, wherever those were imported."""
        modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("labkit.")]
        passing = {
            function: self._pass(function)
            for module in modules
            if module.__name__.startswith(PASSING)
            for name, function in vars(module).items()
            if inspect.isfunction(function) and function.__module__ == module.__name__ and name[0] != "_"
        }
        others: dict[Any, Any] = {self._repeat: self.repeat, **passing}
        for module in modules:
            for name, value in list(vars(module).items()):
                if inspect.isfunction(value) and value in others:
                    setattr(module, name, others[value])
        nn.Module.__call__ = self._pass(nn.Module.__call__)  # type: ignore[method-assign]
        Loader.batch = self._batch(Loader.batch)  # type: ignore[method-assign,assignment]
        Oracle._adversarial = _far(Oracle._adversarial)  # type: ignore[method-assign,assignment]

    def repeat(
        self, step: Callable[[int], Tensor], training: Training, *, title: str, unit: str = "step"
    ) -> History:
        """Stand in for `labkit.training.steps.repeat`."""
        asides: dict[int, Passes] = {}
        whole: list[float] = []
        left = range(0)

        def numbers(asked: range, *_: Any, **__: Any) -> Iterator[int]:
            nonlocal left
            left = asked
            for number, small in _chosen(asked, training.callbacks, whole):
                self._small, self._aside = small, Passes()
                began = clock()
                yield number
                took = clock() - began - self._aside.spent
                asides[number] = self._aside
                if not small:
                    whole.append(took)

        def undisturbed(number: int) -> Tensor:
            with self._within():
                return step(number)

        began = clock()
        try:
            with patch.object(engine, "tqdm", numbers):
                history = self._repeat(undisturbed, training, title=title, unit=unit)
        finally:
            self._small, self._aside = False, None
        _lengthen(history, list(asides), left, training.callbacks)
        each = statistics.median(whole[1:] or whole or [0.0])
        passes = _all_passes(asides, left, training.callbacks)
        self.passes += passes.number
        self.spent += clock() - began
        self.seconds += len(left) * each + passes.seconds
        self.tell(title, len(left), each)
        return history

    def _pass(self, function: Callable[..., Any]) -> Callable[..., Any]:
        few = 2 * self.size
        network = function is nn.Module.__call__  # inside of an attack these are cut, and nothing else
        names = list(inspect.signature(function).parameters)
        place = names.index("size") if "size" in names else None

        def small(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
            """Return `args` with small batches; a size that is not among them goes into `kwargs`."""
            if place is not None and place < len(args):
                return (*args[:place], self.size, *args[place + 1 :])
            if place is not None:
                kwargs["size"] = self.size
            return args

        @functools.wraps(function)
        def abridged(*args: Any, **kwargs: Any) -> Any:
            if self._passing:
                args = small(args, kwargs)
            given = [*args, *kwargs.values()]
            oracle = next((value for value in given if isinstance(value, Oracle)), None)
            if oracle is not None and not (self._busy or self._asking):
                with self._asked(oracle, QUERIES if "seed" in names else int(oracle.left.max())):
                    return function(*args, **kwargs)
            trains = any(isinstance(value, Recipe) for value in given)
            inside = self._asking and not network
            rows = 0 if self._busy or trains or inside else _rows(given)
            if rows <= few:
                return function(*args, **kwargs)
            args = tuple(_cut(value, rows, few) for value in args)
            kwargs = {name: _cut(value, rows, few) for name, value in kwargs.items()}
            whole = {id(cut): value for cut, value in zip([*args, *kwargs.values()], given, strict=True)}
            began = clock()
            args = small(args, kwargs)
            with self._within(passing=True):
                answer = function(*args, **kwargs)
            took = clock() - began
            one = Passes(1, took, took * rows / few)
            if self._aside is not None:
                self._aside.add(one)
            else:
                self.passes += 1
                self.spent += one.spent
                self.seconds += one.seconds
            return _repeated(answer, few, rows, whole)

        return abridged

    def _batch(self, function: Callable[[Loader, int], Batch]) -> Callable[[Loader, int], Batch]:
        @functools.wraps(function)
        def batch(loader: Loader, step: int) -> Batch:
            made, few = function(loader, step), 2 * self.size
            return Batch(made.x[:few], made.y[:few], made.index[:few]) if self._small else made

        return batch

    @contextmanager
    def _asked(self, oracle: Oracle, most: int) -> Iterator[None]:
        """Inside, `oracle` answers `most` queries for each image, whose time stands for that of all."""
        budget, few = oracle.budget, oracle.left.clamp(max=most)
        times = float(oracle.left.sum() / few.sum())
        passes, spent, seconds, began = self.passes, self.spent, self.seconds, clock()
        oracle.budget, self._asking = oracle.asked + few, True
        try:
            yield
        finally:
            oracle.budget, self._asking = budget, False
        took = clock() - began
        self.passes = passes + times * (self.passes - passes)
        self.seconds = seconds + times * (self.seconds - seconds + took - (self.spent - spent))
        self.spent = spent + took

    @contextmanager
    def _within(self, *, passing: bool = False) -> Iterator[None]:
        """Inside, nothing is cut: one is in a step, or `passing`, in a pass that was cut already."""
        before, (self._busy, self._passing) = (self._busy, self._passing), (True, passing)
        try:
            yield
        finally:
            self._busy, self._passing = before


def clock() -> float:
    """Return seconds, once the accelerator has finished what it was given.

    Where the system tells it (Linux), those are left out in which this thread waited for a core that other
    programs had.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    waited = int(WAITED.read_text().split()[1]) / 1e9 if WAITED.exists() else 0.0
    return time.perf_counter() - waited


def _periods(callbacks: Iterable[Callback]) -> list[int]:
    """Return every how many steps callbacks act, as they tell by `every`."""
    return sorted({callback.every for callback in callbacks if hasattr(callback, "every")})


def _chosen(left: range, callbacks: Iterable[Callback], whole: list[float]) -> Iterator[tuple[int, bool]]:
    """Yield the steps to do, of those `left`, and whether on few images; `whole`: seconds of the others."""
    if not left:
        return
    middle = left[len(left) // 2]
    steps = {left[0], middle, left[-1]}
    steps |= {at for each in callbacks if (at := getattr(each, "step", -1)) in left}
    for every in _periods(callbacks):
        due = [number for number in left[:every] if (number + 1) % every == 0]
        steps |= set() if any((number + 1) % every == 0 for number in steps) else set(due)
    last = -1
    for number in sorted(steps):
        if number == middle:
            for last in range(middle, min(middle + WHOLE, left.stop)):
                yield last, False
                if sum(whole) > ENOUGH:
                    break
        elif number > last:
            yield number, True


def _lengthen(history: History, taken: list[int], left: range, callbacks: Iterable[Callback]) -> None:
    """Make each series as long as if all steps that were `left` had been `taken`.

    Series that were logged neither in every step nor every so many stay as they are.
    """
    made = {}
    for name, (steps, values) in history.state().items():
        logged = list(dict.fromkeys(steps.tolist()))
        for every in (1, *_periods(callbacks)):
            if logged == [number for number in taken if (number + 1) % every == 0]:
                full = [number for number in left if (number + 1) % every == 0]
                nearest = (max(0, bisect_right(logged, number) - 1) for number in full)
                single = list(values[-len(logged) :])
                made[name] = [torch.tensor(full), [single[place] for place in nearest]]
                break
        else:
            made[name] = [steps, values]
    history.restore(made)  # type: ignore[arg-type]


def _all_passes(asides: dict[int, Passes], left: range, callbacks: Iterable[Callback]) -> Passes:
    """Return the passes of a training whose steps `left` are all done, from those of the steps taken."""
    periods, found = _periods(callbacks), Passes()
    plain = [number for number in asides if all((number + 1) % every for every in periods)]
    usual = asides[plain[0]] if plain else Passes()
    found.add(usual, len(left))
    for every in periods:
        due = [number for number in asides if (number + 1) % every == 0]
        for number in due[:1]:
            times = sum((each + 1) % every == 0 for each in left)
            found.number += times * (asides[number].number - usual.number)
            found.seconds += times * (asides[number].seconds - usual.seconds)
    return found


def _rows(values: Iterable[Any]) -> int:
    """Return how many images there are among the arguments of a call, 0 where there are none."""
    return max((len(value) for value in values if _pictures(value)), default=0)


def _pictures(value: Any) -> bool:
    if isinstance(value, Tensor):  # weights have four axes as well, and the last are shorter
        return value.ndim == 4 and min(value.shape[2:]) > LARGEST_KERNEL
    return isinstance(value, Images)


def _cut(value: Any, rows: int, few: int) -> Any:
    """Return the first `few` of images, and of what a tensor says of each of `rows` images."""
    if isinstance(value, Images):
        return dataclasses.replace(value, x=value.x[:few], y=value.y[:few])
    alike = isinstance(value, Tensor) and value.ndim > 0 and len(value) == rows
    return value[:few] if alike else value


def _repeated(answer: Any, few: int, rows: int, whole: dict[int, Any]) -> Any:
    """Return an answer about `few` images as one about `rows`, over and over the same.

    `whole` has by the id of what was given to the call that from which it was cut.
    """
    if id(answer) in whole:
        return whole[id(answer)]
    if isinstance(answer, Tensor) and few in answer.shape[:2]:  # the second: an answer of several networks
        again = torch.arange(rows, device=answer.device) % few
        return answer.index_select(answer.shape.index(few), again)
    if isinstance(answer, dict):
        return {key: _repeated(value, few, rows, whole) for key, value in answer.items()}
    if type(answer) in (list, tuple):
        return type(answer)(_repeated(value, few, rows, whole) for value in answer)
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        fields = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
        return dataclasses.replace(
            answer, **{name: _repeated(value, few, rows, whole) for name, value in fields.items()}
        )
    return answer


def _far(answer: Callable[[Oracle, Tensor, Tensor], Tensor]) -> Callable[[Oracle, Tensor, Tensor], Tensor]:
    """Return an `Oracle._adversarial` that takes as long, and finds adversarial what is far away."""

    @functools.wraps(answer)
    def far(oracle: Oracle, x: Tensor, ids: Tensor) -> Tensor:
        answer(oracle, x, ids)
        return (x - oracle.originals[ids]).flatten(1).square().mean(1).sqrt() > FAR

    return far

"""What a chapter can be asked for: the names in its parameters cell, each with the type of its default."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.errors import LabkitError
from labkit.profile import checked_profile
from labkit.source.meaning import digest

Value = int | float | bool | str
LARGEST = 2**63 - 1  # what torch counts with


def parameters_of(notebook: Any, chapter: str) -> dict[str, Value]:
    """Return name → default from the notebook's cell tagged ``parameters``, in its order.

    The cell is read, not executed: it holds only lines such as ``epochs = 0`` or ``epochs: int = 0``.
    Raises LabkitError where there is not exactly one such cell, or a line of it is anything else.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise LabkitError(f"{chapter} has {len(cells)} cells tagged 'parameters'; it needs exactly one")
    defaults: dict[str, Value] = {}
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise LabkitError(f"{chapter}: the parameters cell is not Python: {error}") from error
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                raise _not_a_parameter(statement, chapter)
        try:
            default = ast.literal_eval(value)
        except ValueError as error:
            raise _not_a_parameter(statement, chapter) from error
        if type(default) not in (int, float, bool, str):
            raise _not_a_parameter(statement, chapter)
        defaults[name] = default
    return defaults


def checked(values: Mapping[str, Any], defaults: Mapping[str, Value], chapter: str) -> dict[str, Value]:
    """Return `values` once each has a known name and the type of its default (an int may stand for a float).

    A whole number has 64 bits, and none is negative where the default is not: it counts something. Raises
    LabkitError, in one line that names what the chapter has, for the first that does not fit.
    """
    accepted: dict[str, Value] = {}
    for name, value in values.items():
        default: Any = _default(name, defaults, chapter)
        kind = type(default)
        if kind is float and type(value) is int and abs(value) <= LARGEST:
            value = float(value)
        if type(value) is not kind:
            raise _wrong_type(name, value, defaults, chapter)
        if kind is int and not (least := 0 if default >= 0 else -LARGEST) <= value <= LARGEST:
            raise LabkitError(f"parameter {name} of {chapter} is a whole number from {least} to {LARGEST}")
        if kind is float and not math.isfinite(value):
            raise LabkitError(f"parameter {name} of {chapter} is a finite number, not {value}")
        if name == "profile":
            checked_profile(str(value))
        accepted[name] = value
    return accepted


def from_texts(texts: Iterable[str], defaults: Mapping[str, Value], chapter: str) -> dict[str, Value]:
    """Return the values in texts such as ``epochs=3``, each read as the type of its default.

    Raises LabkitError for a text without ``=``, a name that is not there or a value of another type.
    """
    values: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise LabkitError(f"a parameter is given as name=value, not as {text!r}")
        kind = type(_default(name, defaults, chapter))
        try:
            # bool("false") would be true.
            values[name] = {"true": True, "false": False}[value] if kind is bool else kind(value)
        except (ValueError, KeyError) as error:
            raise _wrong_type(name, value, defaults, chapter) from error
    return values


def trial_of(values: Mapping[str, Any], defaults: Mapping[str, Value]) -> str:
    """Return the name of a run by those of its parameters that are no defaults: ``epochs=2,rate=0.1``.

    Profile and seed have names of their own. It is empty where there are none, and always the name of a
    folder: of a text too strange for that, a digest stands.
    """
    others = [
        f"{name}={values[name]}"
        for name, default in defaults.items()
        if name in values and name not in ("profile", "seed") and values[name] != default
    ]
    name = ",".join(others)
    return name if re.fullmatch(r"[\w.,=+-]{0,100}", name) else digest(others)


def described(defaults: Mapping[str, Value]) -> str:
    """Return the parameters in words: ``seed (int, default 0), epochs (int, default 0)``."""
    return ", ".join(
        f"{name} ({type(value).__name__}, default {value!r})" for name, value in defaults.items()
    )


def _default(name: str, defaults: Mapping[str, Value], chapter: str) -> Value:
    if name not in defaults:
        raise LabkitError(f"unknown parameter {name!r} of {chapter}; it has: {described(defaults)}")
    return defaults[name]


def _wrong_type(name: str, value: Any, defaults: Mapping[str, Value], chapter: str) -> LabkitError:
    kind = type(defaults[name]).__name__
    return LabkitError(
        f"parameter {name} of {chapter} is {kind}, not {value!r}; it has: {described(defaults)}"
    )


def _not_a_parameter(statement: ast.stmt, chapter: str) -> LabkitError:
    line = ast.unparse(statement).splitlines()[0]
    return LabkitError(f"{chapter}: {line!r} in the parameters cell is not name = number, bool or string")

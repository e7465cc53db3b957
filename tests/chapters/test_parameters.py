"""What a chapter can be asked for is what its parameters cell says, and nothing else starts a run."""

from __future__ import annotations

import random
import re
import string
from typing import Any

import nbformat
import pytest

from labkit.batch import runner
from labkit.chapters.chapter import Chapter
from labkit.chapters.parameters import checked, from_texts, parameters_of, trial_of
from labkit.errors import LabkitError

DEFAULTS = {"profile": "smoke", "seed": 0, "epochs": 0, "rate": 0.1, "fast": False}
HAS = (
    "it has: profile (str, default 'smoke'), seed (int, default 0), epochs (int, default 0), "
    "rate (float, default 0.1), fast (bool, default False)"
)


def notebook(*cells: str) -> Any:
    tagged = {"tags": ["parameters"]}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell, metadata=tagged) for cell in cells]
    )


def test_defaults_are_read_in_order_without_executing() -> None:
    source = 'profile = "smoke"  # size\nseed: int = 0\n\nrate = -1.5\nfast = True'
    defaults = parameters_of(notebook(source), "p01")
    assert list(defaults.items()) == [("profile", "smoke"), ("seed", 0), ("rate", -1.5), ("fast", True)]


@pytest.mark.parametrize(
    "line",
    [
        "a = 1 + x",
        "a = open('f')",
        "a, b = 1, 2",
        "a = [1]",
        "a = None",
        "import os",
        "a += 1",
        "a: int",
        "a.b = 1",
        "a =",
    ],
)
def test_anything_but_a_literal_assignment_is_refused(line: str) -> None:
    with pytest.raises(LabkitError, match="parameters cell"):
        parameters_of(notebook(f"seed = 0\n{line}"), "p01")


@pytest.mark.parametrize("cells", [[], ["seed = 0", "seed = 1"]])
def test_there_is_exactly_one_parameters_cell(cells: list[str]) -> None:
    with pytest.raises(LabkitError, match=f"p01 has {len(cells)} cells tagged 'parameters'"):
        parameters_of(notebook(*cells), "p01")


def test_texts_become_the_types_of_the_defaults() -> None:
    texts = ["epochs=3", "rate=2", "fast=true", "profile=full", "seed=7"]
    values = from_texts(texts, DEFAULTS, "p01")
    assert values == {"epochs": 3, "rate": 2.0, "fast": True, "profile": "full", "seed": 7}
    assert [type(value) for value in values.values()] == [int, float, bool, str, int]
    assert from_texts(["fast=false"], DEFAULTS, "p01") == {"fast": False}
    assert from_texts(["profile=a=b"], DEFAULTS, "p01") == {"profile": "a=b"}
    assert checked(values, DEFAULTS, "p01") == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epohcs=3", f"unknown parameter 'epohcs' of p01; {HAS}"),
        ("epochs=3.5", f"parameter epochs of p01 is int, not '3.5'; {HAS}"),
        ("epochs=", f"parameter epochs of p01 is int, not ''; {HAS}"),
        ("rate=much", f"parameter rate of p01 is float, not 'much'; {HAS}"),
        ("fast=1", f"parameter fast of p01 is bool, not '1'; {HAS}"),
        ("fast=False", f"parameter fast of p01 is bool, not 'False'; {HAS}"),
        ("epochs=" + "9" * 5_000, f"parameter epochs of p01 is int, not '{'9' * 5_000}'; {HAS}"),
        ("epochs", "a parameter is given as name=value, not as 'epochs'"),
    ],
)
def test_a_wrong_text_is_one_line_that_names_what_there_is(text: str, message: str) -> None:
    with pytest.raises(LabkitError) as caught:
        from_texts([text], DEFAULTS, "p01")
    assert str(caught.value) == message


def test_a_float_takes_an_int_and_no_other_type_passes_for_another() -> None:
    accepted = checked({"rate": 1}, DEFAULTS, "p01")["rate"]
    assert (accepted, type(accepted)) == (1.0, float)
    for name, value in [
        ("epochs", True),
        ("epochs", 1.0),
        ("fast", 0),
        ("rate", True),
        ("rate", "1"),
        ("seed", None),
    ]:
        with pytest.raises(LabkitError, match=f"parameter {name} of p01"):
            checked({name: value}, DEFAULTS, "p01")
    with pytest.raises(LabkitError, match="smoke, laptop, full"):
        checked({"profile": "huge"}, DEFAULTS, "p01")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", -1, "parameter epochs of p01 is a whole number from 0 to 9223372036854775807"),
        ("epochs", 2**63, "parameter epochs of p01 is a whole number from 0 to 9223372036854775807"),
        ("seed", 2**70, "parameter seed of p01 is a whole number from 0 to 9223372036854775807"),
        ("below", -(2**64), "parameter below of p01 is a whole number from -92233720368547758"),
        ("rate", float("nan"), "parameter rate of p01 is a finite number, not nan"),
        ("rate", float("inf"), "parameter rate of p01 is a finite number, not inf"),
        ("rate", 2**64, "parameter rate of p01 is float, not 18446744073709551616"),
    ],
)
def test_a_number_out_of_range_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(LabkitError) as caught:
        checked({name: value}, DEFAULTS | {"below": -1}, "p01")
    assert str(caught.value).startswith(message)


def test_the_ends_of_the_range_are_accepted() -> None:
    values = {"epochs": 2**63 - 1, "seed": 0, "rate": -0.5, "below": -5}
    assert checked(values, DEFAULTS | {"below": -1}, "p01") == values


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"profile": "full", "seed": 3}, ""),
        ({"epochs": 0, "rate": 0.1}, ""),
        ({"rate": 0.2, "epochs": 2}, "epochs=2,rate=0.2"),
        ({"fast": True, "other": 1}, "fast=True"),
    ],
)
def test_a_trial_is_called_by_what_differs(values: dict[str, Any], name: str) -> None:
    assert trial_of(values, DEFAULTS) == name


def test_the_name_of_a_trial_is_that_of_a_folder() -> None:
    strange = [trial_of({"word": word}, {"word": ""}) for word in ("../..", "a b", "x" * 200, "a/b", "é\n")]
    assert len(set(strange)) == len(strange)
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in strange)


def bad_parameter(rng: random.Random) -> dict[str, Any]:
    """Return a parameter that the tiny chapter does not have, or has with another type."""
    if rng.random() < 0.5:
        name = rng.choice(list(DEFAULTS))
        where = rng.randrange(len(name))
        letter = rng.choice(string.ascii_letters + "_0 é")
        mangled = rng.choice(
            [name[:where] + letter + name[where:], name[:where] + name[where + 1 :], name.upper()]
        )
        return {mangled: 1}
    name = rng.choice(["seed", "epochs", "rate", "fast", "profile"])
    others = [
        None,
        [],
        {},
        b"1",
        1j,
        rng.random(),
        rng.randrange(9),
        rng.random() < 0.5,
        "x" * rng.randrange(3),
    ]
    fits = (int, float) if name == "rate" else (type(DEFAULTS[name]),)
    wrong = [value for value in others if type(value) not in fits or name == "profile"]
    return {name: rng.choice(wrong)}


def test_200_bad_parameters_are_refused_before_the_first_cell(
    paired: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(*_: Any, **__: Any) -> None:
        raise AssertionError("a cell would have run")

    monkeypatch.setattr(runner.papermill, "execute_notebook", execute)
    rng = random.Random(0)
    for _ in range(200):
        bad = bad_parameter(rng)
        with pytest.raises(LabkitError) as caught:
            runner.run(paired, "smoke", 0, bad)
        assert "\n" not in str(caught.value)
    assert not (paired.root / "runs").exists()
    with pytest.raises(AssertionError, match="would have run"):
        runner.run(paired, "smoke", 0, {"epochs": 3})

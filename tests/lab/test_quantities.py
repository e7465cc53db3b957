"""Quantities by hand: what they take from the rows of two tiny records, and what they say where it fails."""

from __future__ import annotations

import math

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.lab.quantities import Contrast, Missing, Quantity, column, computed, each
from labkit.lab.record import Row
from labkit.measure.intervals import mean_interval

TABLES = [
    {"R1": [{"arm": "a", "acc": 0.5}, {"arm": "b", "acc": 0.8}], "R2": [{"steps": 4.0}]},
    {"R1": [{"arm": "a", "acc": 0.25}, {"arm": "b", "acc": 0.5}], "R2": [{"steps": 9.0}]},
]
ACC, STEPS = column("R1", "acc"), column("R2", "steps", unit="steps")
A, B = ACC(arm="a"), ACC(arm="b")


def values(quantity: Quantity) -> list[float]:
    return quantity.values(TABLES)


def test_each_operator_by_hand() -> None:
    assert values(A) == [0.5, 0.25]
    assert values(STEPS()) == [4.0, 9.0]  # of a table with one row
    assert values(B - A) == pytest.approx([0.3, 0.25])
    assert values(A + B) == pytest.approx([1.3, 0.75])
    assert values(A + 1) == [1.5, 1.25]
    assert values(A - 0.25) == [0.25, 0.0]
    assert values(A * 4) == [2.0, 1.0]
    assert values(A / B) == pytest.approx([0.625, 0.5])
    assert values(B / 2) == [0.4, 0.25]
    assert values((B - A) * 2 / (A + 0.5)) == pytest.approx([0.6, 2 / 3])


def test_each_has_its_unit_and_only_quotients_are_ratios() -> None:
    units = {B - A: "points", A + B: "%", A / 2: "%", A / B: "times", (A / B) * 2: "times"}
    units |= {STEPS() - STEPS(): "steps", ACC.mean(): "%", ACC.slope("arm", per="pixel"): "points per pixel"}
    units |= {STEPS.slope("x", per="epoch"): "steps per epoch", column("R", "x", "")(): ""}
    for quantity, unit in units.items():
        assert quantity.unit == unit, quantity.name
    assert [q.ratio for q in (A / B, (A / B) * 2, (A / B) / 3, A / 2, A * 3)] == [True] * 3 + [False] * 2
    assert not (A / B - A / B).ratio


def test_names_tell_what_is_taken() -> None:
    assert A.name == "R1: acc[arm = a]"
    assert ((B - A) / 2).name == "((R1: acc[arm = b] - R1: acc[arm = a]) / 2)"
    assert ACC.mean(kind="x").name == "mean R1: acc[kind = x]"
    assert column("R", "y")(b=1, a=2).name == column("R", "y")(a=2, b=1).name


def test_statements_keep_effect_and_threshold_apart() -> None:
    [than] = (B > A).contrasts
    assert (than.relation, than.bound, values(than.effect)) == (">", 0.0, pytest.approx([0.3, 0.25]))
    [less] = (A - B < 0.1).contrasts
    assert (less.relation, less.bound, less.effect.name) == ("<", 0.1, (A - B).name)
    assert (A > 0.4).contrasts == (Contrast(A, ">", 0.4),)
    assert (abs(A) < 0.4).contrasts == (Contrast(A, "within", 0.4),)
    assert (A > 0.4).contrasts == (Contrast(A, ">", 0.4),)
    both = each([A > 0.4, B > A])
    assert [contrast.bound for contrast in both.contrasts] == [0.4, 0.0]
    with pytest.raises(LabkitError, match="each of nothing"):
        each([])


def only(rows: list[Row]) -> dict[str, list[Row]]:
    return {"R1": rows}


FACTORIAL = [
    {"mixup": mixup, "cutout": cutout, "kind": kind, "acc": value}
    for (mixup, cutout, kind), value in {
        ("off", "off", "blur"): 0.1,
        ("off", "on", "blur"): 0.2,
        ("on", "off", "blur"): 0.4,
        ("on", "on", "blur"): 0.9,
        ("on", "on", "fog"): 0.0,
    }.items()
]


def test_mean_and_main_effect() -> None:
    tables = only(FACTORIAL)
    assert ACC.mean(kind="blur").value(tables) == pytest.approx(1.6 / 4)
    assert ACC.mean().value(tables) == pytest.approx(1.6 / 5)
    effect = ACC.main_effect("mixup", high="on", low="off", kind="blur")
    assert effect.value(tables) == pytest.approx((0.4 + 0.9) / 2 - (0.1 + 0.2) / 2)
    assert effect.unit == "points"
    with pytest.raises(Missing, match=r"3 rows with mixup 'on' and 2 with 'off': no main effect"):
        ACC.main_effect("mixup", high="on", low="off").value(tables)
    with pytest.raises(Missing, match="0 rows with mixup 'of' and 0 with 'no'"):
        ACC.main_effect("mixup", high="of", low="no").value(tables)


def test_a_slope_is_that_of_the_least_squares_line() -> None:
    chance = np.random.default_rng(0)
    for n in (2, 5, 9):
        x, y = chance.normal(size=(2, n))
        rows = [{"x": a, "acc": b} for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        slope = ACC.slope("x", per="step").value(only(rows))
        assert slope == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)
    with pytest.raises(Missing, match="x has one value only, and a slope needs two"):
        ACC.slope("x", per="step").value(only([{"x": 1, "acc": 0.1}, {"x": 1, "acc": 0.2}]))


def test_a_function_of_the_rows_of_one_record() -> None:
    last = computed("accuracy of the last", "R1", lambda rows: rows[-1]["acc"])
    assert (last.name, values(last)) == ("R1: accuracy of the last", [0.8, 0.5])

    def spoils(rows: list[Row]) -> float:
        rows[0]["acc"] = 9.0
        return len(rows)

    assert values(computed("number", "R1", spoils, unit="")) == [2, 2]
    assert values(A) == [0.5, 0.25]


MISSING = {
    "table": (column("R9", "x")(), "there is no table R9; there are: R1, R2"),
    "column": (column("R1", "acuracy")(arm="a"), "table R1 has no column 'acuracy'; it has: arm, acc"),
    "column of where": (ACC(am="a"), "table R1 has no column 'am'; it has: arm, acc"),
    "row": (ACC(arm="c"), "table R1 has no row with arm = c"),
    "more than one": (ACC(), "2 rows of table R1 match where one should; name more columns"),
    "computed": (computed("x", "R9", len), "there is no table R9; there are: R1, R2"),
    "computed of": (
        computed("x", "R1", lambda rows: rows[0]["y"]),
        "x cannot be computed from table R1: KeyError: 'y'",
    ),
    "by nothing": (A / (A - A), "a quotient by nothing"),
    "along": (ACC.slope("x", per="y"), "table R1 has no column 'x'; it has: arm, acc"),
    "factor": (ACC.main_effect("x", high=1, low=0), "table R1 has no column 'x'; it has: arm, acc"),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_not_there_is_named_with_what_is(what: str) -> None:
    quantity, message = MISSING[what]
    with pytest.raises(Missing) as caught:
        values(quantity)
    assert str(caught.value) == message


def test_an_empty_value_is_missing_and_a_row_without_the_column_too() -> None:
    for row in ({"arm": "a", "acc": None}, {"arm": "a"}):
        tables = only([row, {"arm": "b", "acc": 1.0}])
        with pytest.raises(Missing, match="table R1 has an empty acc with arm = a"):
            A.value(tables)
        assert B.value(tables) == 1.0
    tables = only([{"x": None, "acc": 1.0}, {"x": 1.0, "acc": 1.0}])
    with pytest.raises(Missing, match="table R1 has an empty x with anything"):
        ACC.slope("x", per="step").value(tables)


def test_numbers_match_as_records_keep_them() -> None:
    tables = only(
        [{"eps": 8 / 255, "n": 3, "acc": 0.5}, {"eps": float(f"{4 / 255:.6g}"), "n": 4, "acc": 0.7}]
    )
    assert ACC(eps=4 / 255).value(tables) == 0.7
    assert ACC(eps=8 / 255).value(tables) == 0.5
    assert ACC(n=4.0).value(tables) == 0.7
    assert ACC.main_effect("eps", high=4 / 255, low=8 / 255).value(tables) == pytest.approx(0.2)
    with pytest.raises(Missing):
        ACC(eps=4.001 / 255).value(tables)
    with pytest.raises(Missing):
        ACC(n="4").value(tables)


def test_a_ratio_is_averaged_as_it_multiplies() -> None:
    times = A / B
    assert times.mean([4.0, 9.0]).mean == pytest.approx(6.0)
    logs = mean_interval([math.log(4), math.log(9)])
    assert times.mean([4.0, 9.0]).low == pytest.approx(math.exp(logs.low))
    assert times.mean([4.0, 9.0]).high == pytest.approx(math.exp(logs.high))
    assert A.mean([4.0, 9.0]).mean == 6.5
    wide, narrow = (A.mean([1.0, 2.0, 4.0], level) for level in (0.01, 0.05))
    assert wide.low < narrow.low < narrow.high < wide.high
    # Of two seeds that far apart the interval has no end that could be written.
    assert times.text(times.mean([1.0, 1e40], 0.01)) == "1e+20 [0, inf]\u00a0times"
    with pytest.raises(Missing, match="is judged as a ratio and has a value of -1"):
        times.mean([4.0, -1.0])


def test_texts_have_a_sign_where_they_are_differences() -> None:
    one = mean_interval([0.031])
    assert (B - A).text(one, signed=True) == "+3.1\u00a0points"
    assert (B - A).text(one) == "3.1\u00a0points"
    assert A.text(one, signed=True) == "3.1\u00a0%"
    assert (A / B).text(one, signed=True) == "0.031\u00a0times"
    assert ACC.slope("x", per="pixel").text(one, signed=True) == "+3.1\u00a0points per pixel"
    assert STEPS().text(mean_interval([3.0, 3.0])) == "3\u00a0steps"

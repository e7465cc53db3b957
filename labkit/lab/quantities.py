"""Quantities: what a claim or a sentence takes from the rows of a record, named before there is one.

    test = column("R5", "test accuracy")            # shares in 0..1
    test(arm="mixup") - test(arm="baseline")        # a Quantity: one number of each record
    test(arm="mixup") > test(arm="baseline")        # a Statement about it, true or false of each

A quotient of two quantities is judged, and averaged, on the scale of its logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression
from typing import Any, Literal

from labkit.errors import LabkitError, one_line
from labkit.lab.record import Row, with_interval
from labkit.measure.intervals import Interval, mean_interval

Tables = Mapping[str, Sequence[Row]]  # of one record


class Missing(LabkitError):
    """A record has no rows that a quantity is made of, or rows that it cannot be made of."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """One number of each record: `name` says of what it is made, `value` takes it from the record's tables.

    `unit` is `%` for a share in 0..1, `points` for a difference of shares, or as written. `ratio` quantities
    are positive, and multiply rather than add.
    """

    name: str
    unit: str
    value: Callable[[Tables], float]
    ratio: bool = False

    def __add__(self, other: Quantity | float) -> Quantity:
        return self._with("+", other, lambda a, b: a + b, self.unit)

    def __sub__(self, other: Quantity | float) -> Quantity:
        return self._with("-", other, lambda a, b: a - b, _of_a_difference(self.unit))

    def __mul__(self, factor: float) -> Quantity:
        return self._with("*", factor, lambda a, b: a * b, self.unit, ratio=self.ratio)

    def __truediv__(self, other: Quantity | float) -> Quantity:
        quotient = isinstance(other, Quantity)
        unit = "times" if quotient else self.unit
        return self._with("/", other, _quotient, unit, ratio=quotient or self.ratio)

    def __gt__(self, other: Quantity | float) -> Statement:
        return self._stated(">", other)

    def __lt__(self, other: Quantity | float) -> Statement:
        return self._stated("<", other)

    def __abs__(self) -> Size:
        return Size(self)

    def _with(
        self,
        sign: str,
        other: Quantity | float,
        combine: Callable[[float, float], float],
        unit: str,
        *,
        ratio: bool = False,
    ) -> Quantity:
        if not isinstance(other, Quantity):
            number = float(other)
            return Quantity(
                f"({self.name} {sign} {number:g})", unit, lambda of: combine(self.value(of), number), ratio
            )
        return Quantity(
            f"({self.name} {sign} {other.name})",
            unit,
            lambda of: combine(self.value(of), other.value(of)),
            ratio,
        )

    def _stated(self, relation: Literal[">", "<"], other: Quantity | float) -> Statement:
        if isinstance(other, Quantity):
            return Statement((Contrast(self - other, relation, 0.0),))
        return Statement((Contrast(self, relation, float(other)),))

    def values(self, records: Iterable[Tables]) -> list[float]:
        """Return its value in each record; raises Missing where one does not have it."""
        return [self.value(tables) for tables in records]

    def mean(self, values: Sequence[float], level: float = 0.05) -> Interval:
        """Return the mean of `values`, for a ratio the geometric, with its interval at 1 - `level`."""
        if not self.ratio:
            return mean_interval(values, 1 - level)
        found = mean_interval(self.judged(values), 1 - level)
        mean, low, high = (_exp(end) for end in (found.mean, found.low, found.high))
        return Interval(mean, low, high, found.n)

    def judged(self, values: Sequence[float]) -> list[float]:
        """Return `values` on the scale on which they add: that of the logarithm for a ratio.

        Raises Missing where a ratio is not positive.
        """
        if self.ratio and min(values) <= 0:
            raise Missing(f"{self.name} is judged as a ratio and has a value of {min(values):g}")
        return [math.log(value) for value in values] if self.ratio else list(values)

    def text(self, interval: Interval, *, signed: bool = False) -> str:
        """Return mean and, over several records, interval as text with unit: ``+1.2 [0.5, 1.9] points``."""
        ends = () if interval.n == 1 or math.isnan(interval.low) else (interval.low, interval.high)
        values: tuple[float, ...] = (interval.mean, *ends)
        if self.unit == "%":  # a share cannot leave 0..1, and so its interval need not
            values = tuple(min(max(value, 0.0), 1.0) for value in values)
        signed = signed and not self.ratio and self.unit != "%"
        scale = 100 if self.unit == "%" or self.unit.startswith("points") else 1
        return with_interval(values, scale, self.unit, sign="+" if signed else "")


@dataclass(frozen=True, eq=False)
class Size:
    """The size of a difference, whatever its sign: only to be compared with a margin."""

    quantity: Quantity

    def __lt__(self, margin: float) -> Statement:
        return Statement((Contrast(self.quantity, "within", float(margin)),))


@dataclass(frozen=True)
class Contrast:
    """That `effect` is above `bound`, below it, or (within) nearer to nothing than it."""

    effect: Quantity
    relation: Literal[">", "<", "within"]
    bound: float

    @property
    def name(self) -> str:
        """The contrast in symbols."""
        return f"{self.effect.name} {self.relation} {self.bound:g}"


@dataclass(frozen=True)
class Statement:
    """Contrasts that must all hold."""

    contrasts: tuple[Contrast, ...]


def each(statements: Iterable[Statement]) -> Statement:
    """Return the statement that all of `statements` hold; raises LabkitError where there are none."""
    contrasts = tuple(contrast for statement in statements for contrast in statement.contrasts)
    if not contrasts:
        raise LabkitError("a statement about each of nothing says nothing")
    return Statement(contrasts)


@dataclass(frozen=True)
class Column:
    """A column of the table of one requirement."""

    table: str
    name: str
    unit: str

    def __call__(self, **where: Any) -> Quantity:
        """Return the value of the one row in which each column of `where` has that value."""
        return self._over(where, "", self._only)

    def mean(self, **where: Any) -> Quantity:
        """Return the mean over all rows in which each column of `where` has that value."""
        return self._over(where, "mean ", lambda rows: fmean(row[self.name] for row in rows))

    def slope(self, along: str, *, per: str, **where: Any) -> Quantity:
        """Return the slope of the least-squares line over the column `along`; `per` is the unit of that."""

        def fitted(rows: Sequence[Row]) -> float:
            x = [row[along] for row in rows]
            if min(x) == max(x):
                raise Missing(f"table {self.table}: {along} has one value only, and a slope needs two")
            return linear_regression(x, [row[self.name] for row in rows]).slope

        unit = f"{_of_a_difference(self.unit)} per {per}".strip()
        return self._over(where, f"slope along {along} of ", fitted, unit, along)

    def main_effect(self, factor: str, *, high: Any, low: Any, **where: Any) -> Quantity:
        """Return the mean of the rows where `factor` is `high` minus that where it is `low`.

        Raises Missing, when it is taken, unless there are as many of the one as of the other: in a factorial
        every combination of the other factors comes with both.
        """

        def effect(rows: Sequence[Row]) -> float:
            sides = [[row[self.name] for row in rows if _equal(row[factor], level)] for level in (high, low)]
            if not sides[0] or len(sides[0]) != len(sides[1]):
                counts = f"{len(sides[0])} rows with {factor} {high!r} and {len(sides[1])} with {low!r}"
                raise Missing(f"table {self.table} has {counts}: no main effect")
            return fmean(sides[0]) - fmean(sides[1])

        unit = _of_a_difference(self.unit)
        return self._over(where, f"{factor} {high} against {low} in ", effect, unit, factor)

    def _only(self, rows: Sequence[Row]) -> float:
        if len(rows) != 1:
            raise Missing(f"{len(rows)} rows of table {self.table} match where one should; name more columns")
        return float(rows[0][self.name])

    def _over(
        self,
        where: Mapping[str, Any],
        how: str,
        reduce: Callable[[Sequence[Row]], float],
        unit: str | None = None,
        *others: str,
    ) -> Quantity:
        chosen = ", ".join(f"{name} = {value}" for name, value in sorted(where.items()))

        def value(tables: Tables) -> float:
            rows = [row for row in _table(tables, self.table) if _fits(row, where)]
            empty = [name for name in (self.name, *others) for row in rows if row.get(name) is None]
            if not rows or empty:
                self._check_columns(tables[self.table], (self.name, *others, *where))
                what = f"an empty {empty[0]}" if empty else "no row"
                raise Missing(f"table {self.table} has {what} with {chosen or 'anything'}")
            return reduce(rows)

        return Quantity(
            f"{how}{self.table}: {self.name}[{chosen}]", self.unit if unit is None else unit, value
        )

    def _check_columns(self, rows: Sequence[Row], names: Iterable[str]) -> None:
        for name in names:
            if not any(name in row for row in rows):
                columns = ", ".join(dict.fromkeys(key for row in rows for key in row))
                raise Missing(f"table {self.table} has no column {name!r}; it has: {columns}")


def column(table: str, name: str, unit: str = "%") -> Column:
    """Return the column `name` of the rows recorded as `table`; `%` is for shares in 0..1."""
    return Column(table, name, unit)


def computed(name: str, table: str, function: Callable[[list[Row]], float], unit: str = "%") -> Quantity:
    """Return what `function` makes of the rows of `table` in one record: for what a `column` cannot say."""

    def value(tables: Tables) -> float:
        rows = [dict(row) for row in _table(tables, table)]
        try:
            return float(function(rows))
        except Exception as error:
            told = one_line(type(error).__name__, str(error))
            raise Missing(f"{name} cannot be computed from table {table}: {told}") from error

    return Quantity(f"{table}: {name}", unit, value)


def _table(tables: Tables, name: str) -> Sequence[Row]:
    if name not in tables:
        raise Missing(f"there is no table {name}; there are: {', '.join(tables) or 'none'}")
    return tables[name]


def _fits(row: Row, where: Mapping[str, Any]) -> bool:
    return all(name in row and _equal(row[name], wanted) for name, wanted in where.items())


def _of_a_difference(unit: str) -> str:
    """Return the unit of a difference of two values in `unit`: shares differ by points."""
    return "points" if unit == "%" else unit


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, float) and isinstance(wanted, int | float):
        return math.isclose(found, wanted, rel_tol=1e-5)  # records keep six digits
    return bool(found == wanted)


def _quotient(above: float, below: float) -> float:
    if below == 0:
        raise Missing("a quotient by nothing")
    return above / below


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf  # two seeds can leave everything open

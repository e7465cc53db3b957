"""All data sets that the package computes by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labkit.data.embedded.digits import digits
from labkit.data.embedded.glyphs import glyphs, glyphs100
from labkit.data.sets import DataSet


@dataclass(frozen=True)
class EmbeddedSet:
    """A data set that needs no file.

    Attributes:
        name: what it is called; `make` has the same name.
        description: one line: what it holds.
        make: from ``train`` or ``test`` and a number of examples to the data set.
        examples: how many of ``train`` and of ``test`` stand in for a real set.
    """

    name: str
    description: str
    make: Callable[[str, int], DataSet]
    examples: tuple[int, int] = (4_000, 300)

    def splits(self) -> tuple[DataSet, DataSet]:
        """Return train and test set, as they stand in for a real set."""
        train, test = self.examples
        return self.make("train", train), self.make("test", test)


EMBEDDED: Mapping[str, EmbeddedSet] = {
    embedded.name: embedded
    for embedded in (
        EmbeddedSet("glyphs", "ten glyphs in colour, 32x32x3", glyphs),
        EmbeddedSet("glyphs100", "ten glyphs in ten colours each, 32x32x3", glyphs100),
        EmbeddedSet("digits", "ten written digits, grey, 28x28x1", digits),
    )
}

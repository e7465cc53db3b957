"""Formulas as MathML: what Docutils gets wrong and the book puts right."""

from __future__ import annotations

import re

import pytest
from docutils import nodes

from labkit.site.maths import _mathml

G = '<mover accent="true"><mi>g</mi><mo stretchy="false">~</mo></mover>'


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\tilde g", G),
        (r"\tilde g_k", f"<msub>{G}<mi>k</mi></msub>"),
        (r"\tilde{g}_{k}", f"<msub>{G}<mi>k</mi></msub>"),
        (r"\log x", "<mi>log</mi><mo>\u2061</mo><mi>x</mi>"),
        (r"x_k", "<msub><mi>x</mi><mi>k</mi></msub>"),
        (r"\sum_a^b", '<munderover><mo movablelimits="true">∑</mo><mi>a</mi><mi>b</mi></munderover>'),
    ],
)
def test_an_index_stands_beside_its_letter_with_or_without_an_accent(formula: str, expected: str) -> None:
    found = _mathml(nodes.math_block(text=formula), as_block=True)
    inside = re.fullmatch(r"<math [^>]*>(.*)</math>", re.sub(r">\s+<", "><", found.strip()))
    assert inside is not None
    assert inside[1] == expected

"""What records say of a claim: each verdict on hand-made records, and what is refused before them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from scipy.stats import t, ttest_1samp

from labkit.errors import LabkitError
from labkit.lab.evidence import Evidence, Judgement
from labkit.lab.quantities import Statement, column, each
from labkit.lab.record import Record

X, Y, Z, W = (column("R1", name)() for name in "xyzw")


def seeds(**columns: list[float]) -> list[Record]:
    """Return a record for each seed, with one row of these columns."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [Record("p00-trial", "laptop", seed, rows={"R1": [row]}) for seed, row in enumerate(rows)]


def judged(statement: Statement, records: list[Record], **options: object) -> Judgement:
    """Return what the records say of a single claim."""
    evidence = Evidence()
    claim = evidence.claim("R1", "It is so", statement, **options)  # type: ignore[arg-type]
    return evidence.judge(records)[claim]


def with_p(p: float, sign: int = 1) -> list[float]:
    """Return three values whose mean is not 0 with this two-sided p value, by Student's t."""
    mean = sign * t.isf(p / 2, 2) / math.sqrt(3)
    return [mean - 1, mean, mean + 1]


VERDICTS: dict[str, tuple[Statement, list[float], float | None, str]] = {
    "above": (X > 0, [0.10, 0.11, 0.12], None, "supported"),
    "below": (X > 0, [-0.10, -0.11, -0.12], None, "contradicted"),
    "below, as said": (X < 0, [-0.10, -0.11, -0.12], None, "supported"),
    "above, not as said": (X < 0, [0.10, 0.11, 0.12], None, "contradicted"),
    "scattered": (X > 0, [0.3, -0.1, 0.1], None, "undecided"),
    "scattered, with a margin": (X > 0, [0.3, -0.1, 0.1], 0.05, "undecided"),
    "one seed": (X > 0, [0.3], 0.1, "undecided"),
    "near nothing": (X > 0, [0.001, -0.002, 0.001], 0.02, "no difference"),
    "near nothing, without a margin": (X > 0, [0.001, -0.002, 0.001], None, "undecided"),
    "nothing": (X > 0, [0.0, 0.0, 0.0], 0.02, "no difference"),
    "above, if within the margin": (X > 0, [0.010, 0.011, 0.012], 0.02, "supported"),
    "above the threshold": (X > 0.1, [0.20, 0.21, 0.22], None, "supported"),
    "above, not the threshold": (X > 0.1, [0.05, 0.06, 0.07], None, "contradicted"),
    "near the threshold": (X > 0.1, [0.05, 0.15, 0.11], None, "undecided"),
    "equivalent": (abs(X) < 0.02, [0.001, -0.002, 0.001], None, "supported"),
    "equivalent, not nothing": (abs(X) < 0.02, [0.010, 0.011, 0.012], None, "supported"),
    "beyond the margin": (abs(X) < 0.02, [-0.05, -0.06, -0.07], None, "contradicted"),
    "beyond on the other side": (abs(X) < 0.02, [0.05, 0.06, 0.07], None, "contradicted"),
    "who knows": (abs(X) < 0.02, [0.01, 0.03, 0.02], None, "undecided"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_the_verdict_of_three_seeds_by_hand(case: str) -> None:
    statement, values, within, verdict = VERDICTS[case]
    found = judged(statement, seeds(x=values), within=within)
    assert found.verdict == verdict
    assert found.effect.mean == pytest.approx(sum(values) / len(values))


def test_supported_is_what_the_interval_excludes() -> None:
    for p, verdict in ((0.049, "supported"), (0.051, "undecided")):
        found = judged(X > 0, seeds(x=with_p(p)))
        assert (found.p, found.level, found.verdict) == (pytest.approx(p), 0.05, verdict)
        assert (found.effect.low > 0) == (verdict == "supported")
        assert found.p == pytest.approx(ttest_1samp(with_p(p), 0).pvalue)
        assert judged(X > 0, seeds(x=with_p(p, -1))).verdict == verdict.replace("supported", "contradicted")


def test_each_is_supported_if_all_are_and_contradicted_with_their_number_in_mind() -> None:
    both = each([X > 0, Y > 0])
    assert judged(both, seeds(x=with_p(0.01), y=with_p(0.04))).verdict == "supported"
    # The one that is least sure decides, and is shown.
    found = judged(both, seeds(x=with_p(0.01), y=with_p(0.06)))
    assert (found.verdict, found.contrast.effect, found.p) == ("undecided", Y, pytest.approx(0.06))
    # One that fails is enough, but there were two to choose from: 2 * 0.03 > 0.05, 2 * 0.02 is not.
    assert judged(both, seeds(x=with_p(0.01), y=with_p(0.03, -1))).verdict == "undecided"
    found = judged(both, seeds(x=with_p(0.01), y=with_p(0.02, -1)))
    assert (found.verdict, found.contrast.effect, found.p) == ("contradicted", Y, pytest.approx(0.04))
    assert judged(X > 0, seeds(x=with_p(0.03, -1))).verdict == "contradicted"
    near = [0.001, -0.002, 0.001]
    assert judged(both, seeds(x=near, y=near), within=0.02).verdict == "no difference"
    for x, y in ((near, [0.1, 0.02, 0.0]), ([0.1, 0.02, 0.0], near)):
        assert judged(both, seeds(x=x, y=y), within=0.02).verdict == "undecided"


def test_a_quotient_is_judged_on_the_scale_of_its_logarithm() -> None:
    # log(q / 2) is 1.61, 2.53, 3.40: t = 4.88; of q - 2, which is 8, 23, 58, it is 2.0.
    records = seeds(x=[10.0, 25.0, 60.0], y=[1.0, 1.0, 1.0])
    found = judged(X / Y > 2, records)
    assert found.verdict == "supported"
    assert found.p == pytest.approx(ttest_1samp([math.log(q / 2) for q in (10, 25, 60)], 0).pvalue)
    assert found.effect.mean == pytest.approx((10 * 25 * 60) ** (1 / 3))
    assert found.effect.low > 2
    assert judged(X > 2, records).verdict == "undecided"
    assert judged(X / Y < 2, records).verdict == "contradicted"
    near = seeds(x=[1.01, 0.99, 1.0], y=[1.0, 1.0, 1.0])
    assert judged(X / Y > 1, near, within=1.1).verdict == "no difference"
    assert judged(abs(X / Y) < 1.1, near).verdict == "supported"
    assert judged(abs(X / Y) < 1.1, seeds(x=[0.5, 0.51, 0.52], y=[1.0] * 3)).verdict == "contradicted"
    assert judged(X / Y > 1, near).text == "1.00 [0.98, 1.03]\u00a0times"


def test_what_a_control_does_not_hold_for_is_not_testable() -> None:
    evidence = Evidence()
    claim_text, needs = "X is above nothing", []
    for control, values in (("learns", Y > 0.9), ("converges", Z > 0.9)):
        needs.append(evidence.control("R1", control, values))
    claim = evidence.claim("R1", claim_text, X > 0, needs=needs, paper="X et al.: it is")
    good, bad, open_ = [0.95, 0.96, 0.97], [0.5, 0.51, 0.52], [0.95, 0.2, 0.9]
    x = [0.1, 0.11, 0.12]
    assert evidence.judge(seeds(x=x, y=good, z=good))[claim].verdict == "supported"
    for control in (bad, open_):
        found = evidence.judge(seeds(x=x, y=good, z=control))[claim]
        assert (found.verdict, found.word) == ("not testable", "not testable")
    found = evidence.judge(seeds(x=x, y=good))  # nobody knows whether it converges
    assert (list(found), found[claim].verdict) == ([needs[0], claim], "not testable")


def test_holm_over_the_primary_claims_decides_otherwise_than_95_percent() -> None:
    def words(*p_values: float, **options: bool) -> list[str]:
        evidence = Evidence()
        for name, quantity in zip("xyzw", (X, Y, Z, W), strict=True):
            evidence.claim("R1", f"{name} is above nothing", quantity > 0, **options)
        columns = dict(zip("xyzw", map(with_p, p_values), strict=False))
        return [judgement.verdict for judgement in evidence.judge(seeds(**columns)).values()]

    p_values = (0.011, 0.04, 0.016, 0.03)
    assert words(*p_values) == ["supported"] * 4
    # By hand: 0.011 <= 0.05 / 4, 0.016 <= 0.05 / 3, then 0.03 > 0.05 / 2, and 0.04 is not looked at.
    assert words(*p_values, primary=True) == ["supported", "undecided", "supported", "undecided"]
    assert words(0.011, 0.03, 0.016, 0.04, primary=True) == ["supported", "undecided"] * 2
    assert words(0.011, 0.024, 0.016, 0.04, primary=True) == ["supported"] * 4
    # A claim that cannot be judged counts: 0.013 is above 0.05 / 4.
    assert words(0.013, 0.016, 0.024, primary=True) == ["undecided"] * 3
    assert words(0.012, 0.016, 0.024, primary=True) == ["supported"] * 3


def test_the_interval_of_a_primary_claim_is_as_wide_as_its_level() -> None:
    evidence = Evidence()
    claims = [
        evidence.claim("R1", name, quantity > 0, primary=True) for name, quantity in (("x", X), ("y", Y))
    ]
    found = evidence.judge(seeds(x=with_p(0.03), y=with_p(0.2)))
    assert [found[claim].level for claim in claims] == [0.025, 0.025]
    mean = with_p(0.03)[1]
    assert found[claims[0]].effect.low == pytest.approx(mean - t.isf(0.0125, 2) / math.sqrt(3))
    assert found[claims[0]].effect.low < 0


def test_a_claim_whose_rows_are_missing_is_left_out_and_named() -> None:
    evidence = Evidence()
    claim = evidence.claim("R1", "X is above nothing", X > 0)
    evidence.claim("R1", "Y is above nothing", Y > 0)
    evidence.number("R1", "z", Z)
    made = seeds(x=[1.0, 2.0])
    assert list(evidence.judge(made)) == [claim]
    there = "table R1 has no column '{}'; it has: x"
    assert evidence.missing(made[0]) == [
        f"Y is above nothing: {there.format('y')}",
        f"z: {there.format('z')}",
    ]
    assert evidence.missing(seeds(x=[1.0], y=[1.0], z=[0.0])[0]) == []
    assert evidence.judge([]) == {}
    # One record that lacks the rows is enough, and a quotient that is not positive cannot be judged.
    assert list(evidence.judge([*seeds(x=[1.0], y=[1.0]), *made])) == [claim]
    evidence.claim("R1", "X is larger", X / Y > 1)
    assert evidence.missing(seeds(x=[0.0], y=[1.0], z=[0.0])[0]) == [
        "X is larger: (R1: x[] / R1: y[]) is judged as a ratio and has a value of 0"
    ]


def test_added_tells_that_a_record_is_older_than_the_claim() -> None:
    evidence = Evidence()
    claim = evidence.claim("R1", "X is above nothing", X > 0)
    made = seeds(x=[1.0, 2.0, 3.0])
    for record in made:
        record.claims = [claim.identity]
    assert not evidence.judge(made)[claim].added
    made[2].claims = ["another"]
    assert evidence.judge(made)[claim].added


def test_the_identity_is_what_is_claimed_and_not_the_words() -> None:
    def identity(
        statement: Statement,
        text: str = "It is so",
        *,
        needs: Sequence[Statement] = (),
        within: float | None = None,
        primary: bool = False,
        paper: str = "",
    ) -> str:
        evidence = Evidence()
        controls = [evidence.control("R1", f"learns {number}", needed) for number, needed in enumerate(needs)]
        claim = evidence.claim(
            "R1", text, statement, needs=controls, within=within, primary=primary, paper=paper
        )
        return claim.identity

    others = {
        identity(X > 0),
        identity(X > 0.01),
        identity(X < 0),
        identity(Y > 0),
        identity(abs(X) < 0.01),
        identity(X > 0, within=0.01),
        identity(X > 0, within=0.02),
        identity(X > 0, primary=True),
        identity(X > 0, needs=[Y > 0]),
        identity(X > 0, needs=[Y > 0.01]),
        identity(X > 0, needs=[Y > 0, Y > 0.01]),
        identity(each([X > 0, Y > 0])),
        Evidence().control("R1", "It is so", X > 0).identity,
    }
    assert len(others) == 13
    assert identity(X > 0, text="So it is", paper="X et al.") == identity(X > 0)


def test_beside_a_paper_it_is_reproduced_or_not() -> None:
    paper = "X et al., Table 1: it is"
    for values, within, word in (
        ([0.10, 0.11, 0.12], None, "reproduced"),
        ([-0.10, -0.11, -0.12], None, "not reproduced"),
        ([0.001, -0.002, 0.001], 0.02, "not reproduced"),
        ([0.3, -0.1, 0.1], None, "undecided"),
    ):
        assert judged(X > 0, seeds(x=values), within=within, paper=paper).word == word
    assert judged(X > 0, seeds(x=[0.10, 0.11, 0.12])).word == "supported"


def test_texts_say_how_many_seeds_there_are() -> None:
    assert judged(X - Y > 0, seeds(x=[0.3], y=[0.1])).text == "+20.0\u00a0points (one seed)"
    assert judged(abs(X - Y) < 1, seeds(x=[0.3], y=[0.1])).text == "20.0\u00a0points (one seed)"
    found = judged(X - Y > 0, seeds(x=[0.3, 0.4, 0.5], y=[0.1, 0.2, 0.3]))
    assert found.text == "+20.0\u00a0points"  # without width


REFUSED = {
    "a ninth": (lambda evidence: evidence.claim("R1", "nine", X > 9, primary=True), "more than 8 primary"),
    "the same": (lambda evidence: evidence.claim("R1", "1", X > 9), "the claim '1' is made twice"),
    "the same control": (lambda evidence: evidence.control("R1", "1", X > 9), "the claim '1' is made twice"),
    "no control": (
        lambda evidence: evidence.claim("R1", "x", X > 9, needs=[evidence.claims[0]]),
        "the claim 'x' needs what is no control",
    ),
    "the same number": (lambda evidence: evidence.number("R1", "n", X), "two numbers called 'n'"),
    "no margin": (
        lambda evidence: evidence.claim("R1", "x", X > 0, within=0.0),
        "margin that is not above 0",
    ),
    "no equivalence": (lambda evidence: evidence.claim("R1", "x", abs(X) < -1), "margin .* not above 0"),
    "no factor": (
        lambda evidence: evidence.claim("R1", "x", X / Y > 1, within=0.01),
        "the claim 'x' has a margin that is not above 1",
    ),
    "no equivalent factor": (lambda evidence: evidence.claim("R1", "x", abs(X / Y) < 1), "not above 1"),
    "no quotient": (
        lambda evidence: evidence.claim("R1", "x", each([X > 0, X / Y > 0])),
        "the claim 'x' compares a quotient with 0",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_sense_is_refused(what: str) -> None:
    evidence = Evidence()
    for number in range(8):
        evidence.claim("R1", f"{number}", number < X, primary=True)
    evidence.claim("R1", "one that is not primary", X > 8)
    evidence.number("R1", "n", X)
    wrong, message = REFUSED[what]
    with pytest.raises(LabkitError, match=message):
        wrong(evidence)
    assert len(evidence.claims) == 9

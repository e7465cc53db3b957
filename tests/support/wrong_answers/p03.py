"""Wrong answers to the exercises of chapter p03: mistakes people make, two for each."""

WRONG = {
    "points": [
        "return a - b",  # a share, not points
        "return abs(100 * (a - b))",  # whichever is larger
    ],
}

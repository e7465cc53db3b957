"""Wrong answers to the exercises of chapter p13: mistakes people make, two for each."""

WRONG = {
    "points": [
        "return a - b",  # a share, not points
        "return abs(100 * (a - b))",  # whichever is larger
    ],
}

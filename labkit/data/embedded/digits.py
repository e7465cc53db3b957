"""Digits in grey, written by a few strokes each: bent, slanted, thick or thin, by integer arithmetic."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from labkit.data.embedded.drawing import COS, Bytes, Dice, Ints, balanced, drawn, labelled, random_bits
from labkit.data.images import Images

Stroke = list[tuple[int, int]]

SIDE = 28
CLASSES = tuple("0123456789")
# The field of distances: cells of 16 units, as far as the pixels of the smallest digit reach.
CELL, REACH = 16, 2048


def _line(*points: tuple[int, int]) -> Stroke:
    return list(points)


def _arc(u: int, v: int, across: int, up: int, start: int, end: int) -> Stroke:
    """Return a part of an ellipse about (u, v), from `start` to `end` degrees, counterclockwise if larger."""
    turns = np.linspace(start, end, 13).round().astype(int)
    cos, sin = COS[turns % 360].astype(int), COS[(turns - 90) % 360].astype(int)
    return list(zip((u + (cos * across >> 14)).tolist(), (v + (sin * up >> 14)).tolist(), strict=True))


# A digit is 2048 units high, from -1024 to 1024; v points up.
STROKES: tuple[list[Stroke], ...] = (
    [_arc(0, 0, 600, 1024, 0, 360)],
    [_line((-330, 640), (60, 1024), (60, -1024))],
    [_arc(0, 460, 560, 564, 160, -40), _line((429, 98), (-600, -1024), (620, -1024))],
    [_arc(-40, 500, 520, 524, 150, -90), _arc(-40, -500, 610, 524, 90, -150)],
    [_line((240, -1024), (240, 1024), (-620, -340), (620, -340))],
    [_line((520, 1024), (-400, 1024), (-440, 80)), _arc(-40, -370, 610, 654, 130, -140)],
    [_arc(0, -440, 560, 584, 0, 360), _arc(480, -440, 1040, 1464, 180, 97)],
    [_line((-580, 1024), (580, 1024), (-140, -1024))],
    [_arc(0, 520, 450, 504, 0, 360), _arc(0, -510, 570, 514, 0, 360)],
    [_arc(-20, 440, 560, 584, 0, 360), _line((540, 440), (400, -1024))],
)


@cache  # a fifth of a second
def _distances() -> NDArray[np.int32]:
    """Return the distance from each cell (v, u) to each digit's nearest stroke: (10, cells, cells)."""
    axis = np.arange(-REACH + CELL // 2, REACH, CELL, dtype=np.float64)
    u, v = axis, axis[:, None]
    fields = []
    for strokes in STROKES:
        nearest = np.full((len(axis), len(axis)), np.inf)
        for stroke in strokes:
            for (u0, v0), (u1, v1) in pairwise(stroke):
                du, dv = u1 - u0, v1 - v0
                part = np.clip(((u - u0) * du + (v - v0) * dv) / (du * du + dv * dv), 0, 1)
                squares = (u - u0 - part * du) ** 2 + (v - v0 - part * dv) ** 2
                nearest = np.minimum(nearest, squares)
        # A root is exact to the last bit on every machine, and rounding hides even that.
        fields.append(np.sqrt(nearest).round().astype(np.int32))
    return np.stack(fields)


def _draw(dice: Dice, label: Ints) -> Bytes:
    """Return images (n, 1, 28, 28) of the digits `label` (n, 1, 1)."""
    # Pixels in sixteenths about a centre near that of the image.
    centres = np.arange(SIDE, dtype=np.int32) * 16 + 8
    right = centres - dice.roll(192, 257)
    up = dice.roll(192, 257) - centres[:, None]
    # Half the height in sixteenths of a pixel, how much narrower or wider than high, turn and slant.
    height, degrees, slant = dice.roll(112, 176), dice.roll(-20, 21), dice.roll(-350, 351)
    width = height * dice.roll(190, 290) >> 8
    cos, sin = COS[degrees], COS[degrees - 90]
    across, along = cos * right + sin * up >> 14, cos * up - sin * right >> 14
    u = (across * 1024 - (along * slant)) // width
    v = along * 1024 // height
    # A hand is no ruler: waves in both directions bend the strokes.
    phase, other = dice.roll(0, 360), dice.roll(0, 360)
    bent = u + (COS[((v >> 3) + phase) % 360] * dice.roll(0, 130) >> 14)
    v = v + (COS[((u >> 3) + other) % 360] * dice.roll(0, 130) >> 14)
    column, row = (np.clip(w + REACH, 0, 2 * REACH - 1) // CELL for w in (bent, v))
    distance = _distances()[label, row, column] * height >> 10  # in sixteenths of a pixel, as the thickness
    thickness, ink = dice.roll(10, 32), dice.roll(150, 256)
    canvas = np.clip(8 + thickness - distance, 0, 16) * ink >> 4
    grain = dice.bytes(len(label), SIDE, SIDE).astype(np.int32)
    canvas = canvas + (((grain >> 4) + (grain & 15) - 15) * dice.roll(0, 24) >> 3)
    pixels: Bytes = np.clip(canvas, 0, 255).astype(np.uint8)
    return pixels[:, None]


def digits(split: str, n: int, seed: int = 0) -> Images:
    """Return `n` grey images of written digits, which need no download and are the same bits everywhere.

    The classes are balanced up to rounding, in random order, and all labels are right.

    Args:
        split: ``train`` or ``test``, which share no random numbers.
        n: number of images, 1 or more.
        seed: 0 or more; other seeds give other images.

    Returns:
        Images, x uint8 of shape (n, 1, 28, 28), bright on black, y int64 of shape (n,) with values 0..9.

    Raises:
        LabkitError: an unknown split, n below 1 or seed below 0.
    """
    bits = random_bits("digits", split, n, seed, 28)
    y = balanced(bits, n, len(CLASSES))
    return labelled(f"digits/{split}", drawn(bits, y, _draw), y, CLASSES)

"""Glyphs in colour, drawn by integer arithmetic: of ten shapes, or of ten shapes in ten colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from labkit.data.embedded.drawing import COS, Bytes, Dice, Ints, balanced, drawn, labelled, random_bits
from labkit.data.images import Images

Field = Callable[[Ints, Ints], Ints]

SIDE = 32
# Of the train images, this many percent swap labels among themselves; a tenth of those agree by chance.
MISLABELLED = 3


# A shape gives the distance to its outline, negative inside. A glyph's radius is 1024 units; v points up.


def _plane(u: Ints, v: Ints, degrees: int, offset: int) -> Ints:
    """Return the distance to a straight line, `offset` from the centre in the direction `degrees`."""
    distance: Ints = (u * (COS[degrees] >> 4) + v * (COS[degrees - 90] >> 4) >> 10) - offset
    return distance


def _circle(u: Ints, v: Ints, radius: int) -> Ints:
    """Return the distance to a circle, right to first order at its edge, which spares a root."""
    return (u * u + v * v - radius * radius) // (2 * radius)


def _heart(u: Ints, v: Ints) -> Ints:
    u = np.abs(u)
    diamond = (u + np.abs(v) - 820) * 181 >> 8
    heart: Ints = np.minimum(diamond, _circle(u - 410, v - 410, 580))
    return heart


def _arrow(u: Ints, v: Ints) -> Ints:
    u = np.abs(u)
    head = np.maximum(_plane(u, v, 40, 640), -v)
    arrow: Ints = np.minimum(head, np.maximum(u - 260, np.abs(v + 440) - 560))
    return arrow


SHAPES: dict[str, Field] = {
    "disc": lambda u, v: _circle(u, v, 900),
    "ring": lambda u, v: np.maximum(_circle(u, v, 960), -_circle(u, v, 520)),
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 800,
    "triangle": lambda u, v: np.maximum(_plane(np.abs(u), v, 30, 520), -v - 520),
    "cross": lambda u, v: np.maximum(
        np.minimum(np.abs(u), np.abs(v)) - 290, np.maximum(np.abs(u), np.abs(v)) - 960
    ),
    # A pentagram is where at most one of its five lines is crossed: the second largest distance counts.
    "star": lambda u, v: np.sort([_plane(u, v, turn, 370) for turn in range(18, 360, 72)], axis=0)[-2],
    "moon": lambda u, v: np.maximum(_circle(u, v, 960), -_circle(u - 480, v, 740)),
    "heart": _heart,
    "arrow": _arrow,
    "leaf": lambda u, v: _circle(np.abs(u) + 768, v, 1280),
}
CLASSES = tuple(SHAPES)
# A tenth of the circle of hues each, from 0 degrees on.
COLOURS = ("red", "orange", "lime", "green", "mint", "cyan", "azure", "blue", "purple", "pink")
CLASSES100 = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)


def _wave(t: Ints) -> Ints:
    """Return bands of -64 and 64 with soft edges, a pair of them in 512 units."""
    bands: Ints = np.clip(np.abs((t & 511) - 256) - 128, -64, 64)
    return bands


# A texture gives the brightness in -64..64, in the glyph's own coordinates.
TEXTURES: dict[str, Field] = {
    "plain": lambda u, v: np.zeros_like(u),
    "stripes": lambda u, v: _wave(u + v),
    "checks": lambda u, v: _wave(u) * _wave(v) >> 6,
    "dots": lambda u, v: np.clip(_wave(u) + _wave(v) - 32, -32, 64),
}


def _each(fields: Sequence[Field], kind: Ints, u: Ints, v: Ints) -> Ints:
    """Return the field numbered `kind` (n, 1, 1) of each image at its coordinates u, v (n, 32, 32)."""
    out = np.empty_like(u)
    for number, field in enumerate(fields):
        rows = np.flatnonzero(kind == number)
        if len(rows):
            out[rows] = field(u[rows], v[rows])
    return out


def _frame(x: Ints, y: Ints, radius: Ints, degrees: Ints) -> tuple[Ints, Ints]:
    """Return the coordinates u, v (n, 32, 32) of all pixels in frames at x, y; lengths in pixels / 16."""
    centres = np.arange(SIDE, dtype=np.int32) * 16 + 8
    right, up = centres - x, y - centres[:, None]
    # 2^14 of the sine, 2^10 for a radius: the largest product stays below 2^31.
    cos, sin = COS[degrees] * 1024 // radius, COS[degrees - 90] * 1024 // radius
    return cos * right + sin * up >> 14, cos * up - sin * right >> 14


def _colour(hue: Ints, light: Ints, vivid: Ints) -> Ints:
    """Return red, green and blue, shape (n, 3, 1, 1), of a hue in degrees, a mean and a swing about it."""
    return np.stack([light + (COS[(hue + turn) % 360] * vivid >> 14) for turn in (0, 240, 120)], axis=1)


def _blend(canvas: Ints, ink: Ints, cover: Ints) -> Ints:
    """Return `canvas` (n, 3, 32, 32) under `ink`, which hides `cover` (n, 32, 32) of it in 64ths."""
    return canvas + ((ink - canvas) * cover[:, None] >> 6)


def _cover(distance: Ints, radius: Ints) -> Ints:
    """Return the part of each pixel inside an outline, 0..64: a soft edge one pixel wide."""
    cover: Ints = np.clip(32 - (distance * radius >> 8), 0, 64)
    return cover


def _scrap(dice: Dice, canvas: Ints, percent: int, reach: int) -> Ints:
    """Return `canvas` with, on `percent` of the images, a piece of any glyph within `reach` of the centre."""
    radius = dice.roll(64, 104)
    x, y = dice.roll(256 - reach, 256 + reach), dice.roll(256 - reach, 256 + reach)
    u, v = _frame(x, y, radius, dice.roll(0, 360))
    piece = np.maximum(
        _each(list(SHAPES.values()), dice.roll(0, len(SHAPES)), u, v), u - dice.roll(-300, 300)
    )
    ink = _colour(dice.roll(0, 360), dice.roll(40, 216), dice.roll(10, 70))
    return _blend(canvas, ink, _cover(piece, radius) * dice.chance(percent))


def _ten(dice: Dice, label: Ints) -> Bytes:
    """Return images of the glyphs numbered `label` (n, 1, 1)."""
    # Colour and texture go with the class in some images only: hints, not answers.
    hue = np.where(dice.chance(35), label * 36 + dice.roll(-20, 20), dice.roll(0, 360))
    texture = np.where(dice.chance(35), label % 4, dice.roll(0, 4))
    return _draw(dice, label, hue, texture)


def _hundred(dice: Dice, label: Ints) -> Bytes:
    """Return images of the hundred kinds numbered `label` (n, 1, 1): ten hues of each shape."""
    return _draw(dice, label // 10, label % 10 * 36 + dice.roll(-10, 11), dice.roll(0, 4))


def _draw(dice: Dice, shape: Ints, hue: Ints, texture: Ints) -> Bytes:
    """Return images (n, 3, 32, 32) of glyphs with the numbers of shape and texture and the hue, in degrees.

    All three are (n, 1, 1).
    """
    shapes, textures = list(SHAPES.values()), list(TEXTURES.values())
    light, contrast = dice.roll(80, 176), dice.roll(14, 80)
    contrast = np.where(light > dice.roll(96, 160), contrast, -contrast)

    # The background: one colour turns into another along u, under a faint texture.
    u, v = _frame(dice.roll(128, 384), dice.roll(128, 384), dice.roll(160, 400), dice.roll(0, 360))
    other, behind = hue + dice.roll(40, 270), light - contrast
    near = _colour(other, behind - 20, dice.roll(5, 50))
    far = _colour(other + 50, behind + 30, dice.roll(5, 50))
    canvas = _blend(near, far, np.clip(32 + (u >> 5), 0, 64))
    canvas += (_each(textures, dice.roll(0, 4), u, v) * dice.roll(2, 20) >> 6)[:, None]
    for _ in range(2):
        canvas = _scrap(dice, canvas, percent=60, reach=240)

    radius = dice.roll(112, 192)
    u, v = _frame(dice.roll(176, 336), dice.roll(176, 336), radius, dice.roll(-45, 45))
    u = u * (dice.roll(0, 2) * 2 - 1)
    ink = _colour(hue, light + contrast, dice.roll(20, 80))
    ink = ink + (_each(textures, texture, u, v) * dice.roll(15, 45) >> 6)[:, None]
    canvas = _blend(canvas, ink, _cover(_each(shapes, shape, u, v), radius))
    canvas = _scrap(dice, canvas, percent=60, reach=140)

    # The sum of two four-bit numbers is a noise with thin tails, at one random byte a value.
    grain = dice.bytes(*canvas.shape).astype(np.int32)
    canvas += ((grain >> 4) + (grain & 15) - 15) * dice.roll(4, 24)[:, None] >> 3
    return np.clip(canvas, 0, 255).astype(np.uint8)


def glyphs(split: str, n: int, seed: int = 0) -> Images:
    """Return `n` colour images of ten glyphs, which need no download and are the same bits everywhere.

    The shape decides the class; colour and texture only hint at it. Every glyph keeps its class when
    mirrored. The classes are balanced up to rounding, in random order. In the train split some 3 % of the
    labels are wrong, and the balance holds for the labels given.

    Args:
        split: ``train`` or ``test``, which share no random numbers.
        n: number of images, 1 or more.
        seed: 0 or more; other seeds give other images.

    Returns:
        Images, x uint8 of shape (n, 3, 32, 32), y int64 of shape (n,) with values 0..9.

    Raises:
        LabkitError: an unknown split, n below 1 or seed below 0.
    """
    bits = random_bits("glyphs", split, n, seed)
    y = balanced(bits, n, len(CLASSES))
    x = drawn(bits, y, _ten)
    if split == "train":
        wrong = np.flatnonzero(Dice(bits, n).chance(MISLABELLED))
        y[wrong] = np.roll(y[wrong], 1)
    return labelled(f"glyphs/{split}", x, y, CLASSES)


def glyphs100(split: str, n: int, seed: int = 0) -> Images:
    """Return `n` colour images of a hundred kinds of glyph: each of ten shapes in each of ten colours.

    Shape and colour decide the class, ten times the number of the shape and that of the colour; the texture
    says nothing. The classes are balanced up to rounding, in random order, and all labels are right.

    Args:
        split: ``train`` or ``test``, which share no random numbers.
        n: number of images, 1 or more.
        seed: 0 or more; other seeds give other images.

    Returns:
        Images, x uint8 of shape (n, 3, 32, 32), y int64 of shape (n,) with values 0..99.

    Raises:
        LabkitError: an unknown split, n below 1 or seed below 0.
    """
    bits = random_bits("glyphs100", split, n, seed, 100)
    y = balanced(bits, n, len(CLASSES100))
    return labelled(f"glyphs100/{split}", drawn(bits, y, _hundred), y, CLASSES100)

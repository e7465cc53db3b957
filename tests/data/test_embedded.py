"""The embedded images: the same bits everywhere, the right shapes, and problems worth learning."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Polygon
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from labkit.data.embedded import digits as digit
from labkit.data.embedded import glyphs as glyph
from labkit.data.embedded.digits import STROKES, digits
from labkit.data.embedded.glyphs import CLASSES, CLASSES100, SHAPES, glyphs, glyphs100
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.show.sheet import grid
from labkit.source.files import PACKAGE

Make = Callable[..., Images]


@pytest.mark.parametrize(
    ("make", "train", "test"),
    [
        (glyphs, "1e81d922af7df948", "94d32374eec36f81"),
        (glyphs100, "c94dc49bddc1f313", "756e2f2bcf8dcd9c"),
        (digits, "49c0db1994782436", "9b1a15a8475eba6f"),
    ],
)
def test_the_bits_are_the_committed_ones_and_come_soon(make: Make, train: str, test: str) -> None:
    start = time.process_time()
    images = make("train", 4000)
    assert time.process_time() - start < 5
    assert images.fingerprint == train
    assert make("test", 1000).fingerprint == test


def test_images_are_what_is_promised() -> None:
    images = glyphs("test", 57)
    assert (images.name, images.differences) == ("glyphs/test", "")
    assert (images.x.shape, images.x.dtype) == ((57, 3, 32, 32), torch.uint8)
    assert (images.y.shape, images.y.dtype) == ((57,), torch.int64)
    assert images.classes == CLASSES
    assert len(set(CLASSES)) == 10
    hundred = glyphs100("test", 57)
    assert (hundred.name, hundred.x.shape, hundred.x.dtype) == (
        "glyphs100/test",
        (57, 3, 32, 32),
        torch.uint8,
    )
    assert hundred.classes == CLASSES100
    assert (len(set(CLASSES100)), CLASSES100[23]) == (100, "green square")
    grey = digits("test", 57)
    assert (grey.name, grey.x.shape, grey.x.dtype) == ("digits/test", (57, 1, 28, 28), torch.uint8)
    assert grey.classes == tuple("0123456789")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("n", [1, 7, 10, 1003])
@pytest.mark.parametrize(("make", "classes"), [(glyphs, 10), (glyphs100, 100), (digits, 10)])
def test_classes_are_balanced_and_shuffled(make: Make, classes: int, split: str, n: int) -> None:
    y = make(split, n).y
    counts = torch.bincount(y, minlength=classes)
    assert (counts.sum(), len(counts)) == (n, classes)
    assert counts.max() - counts.min() <= 1
    if n > 1000:
        assert len(y[:20].unique()) > 5
        assert (y.diff() == 1).float().mean() < 0.2


@pytest.mark.parametrize(("make", "differing"), [(glyphs, 0.9), (glyphs100, 0.9), (digits, 0.4)])
def test_splits_and_seeds_differ(make: Make, differing: float) -> None:
    first, *others = make("train", 200), make("test", 200), make("train", 200, 1), make("train", 200, 2)
    assert make("train", 200, seed=0).fingerprint == first.fingerprint
    for other in others:
        assert (first.x != other.x).float().mean() > differing
        assert (first.y != other.y).float().mean() > 0.5
    assert len({x.fingerprint for x in (first, *others)}) == 4


@pytest.mark.parametrize(("split", "low", "high"), [("train", 0.02, 0.04), ("test", 0, 0)])
def test_some_train_labels_are_wrong_and_no_test_labels(
    monkeypatch: pytest.MonkeyPatch, split: str, low: float, high: float
) -> None:
    noisy = glyphs(split, 3000)
    monkeypatch.setattr(glyph, "MISLABELLED", 0)
    clean = glyphs(split, 3000)
    assert torch.equal(noisy.x, clean.x)
    assert low <= (noisy.y != clean.y).float().mean() <= high


def polar(*corners: tuple[float, float]) -> list[tuple[float, float]]:
    return [(r * np.cos(np.radians(a)), r * np.sin(np.radians(a))) for r, a in corners]


# The same shapes again: straight ones by their corners, round ones by distances in floating point.
TIP, DENT = 370 / np.cos(np.radians(72)), 370 / np.cos(np.radians(36))
HALF = [(0, 640 / np.sin(np.radians(40))), (640 / np.cos(np.radians(40)), 0), (260, 0), (260, -1000)]
ARMS = [(290, 960), (290, 290), (960, 290), (960, -290), (290, -290), (290, -960)]
CORNERS = {
    "square": [(800, 800), (-800, 800), (-800, -800), (800, -800)],
    "triangle": polar((1040, 90), (1040, 210), (1040, 330)),
    "cross": [(u * side, v * side) for side in (1, -1) for u, v in ARMS],
    "star": polar(*[(DENT if i % 2 else TIP, 90 + 36 * i) for i in range(10)]),
    "arrow": HALF + [(-u, v) for u, v in HALF[:0:-1]],
}
ROUND = {
    "disc": lambda u, v: np.hypot(u, v) < 900,
    "ring": lambda u, v: (np.hypot(u, v) < 960) & (np.hypot(u, v) > 520),
    "moon": lambda u, v: (np.hypot(u, v) < 960) & (np.hypot(u - 480, v) > 740),
    "heart": lambda u, v: (
        (abs(u) + abs(v) < 820) | (np.hypot(u - 410, v - 410) < 580) | (np.hypot(u + 410, v - 410) < 580)
    ),
    "leaf": lambda u, v: (np.hypot(u - 768, v) < 1280) & (np.hypot(u + 768, v) < 1280),
}


@pytest.mark.parametrize("name", CLASSES)
def test_shape_agrees_with_floating_point(name: str) -> None:
    u, v = np.meshgrid(np.arange(-1500, 1501, 20), np.arange(-1500, 1501, 20))
    if name in CORNERS:
        inside = Polygon(CORNERS[name]).contains_points(np.stack([u, v], -1).reshape(-1, 2)).reshape(u.shape)
    else:
        inside = ROUND[name](u.astype(float), v.astype(float))
    distance = SHAPES[name](u.astype(np.int32), v.astype(np.int32))
    sure = abs(distance) > 4
    assert sure.mean() > 0.95
    assert (inside == (distance < 0))[sure].all()
    assert 0.05 < inside.mean() < 0.35


# An arrow drawn by hand, as it stands at column 12, row 20 with a radius of 7 pixels.
ARROW = """
............
.....##.....
....####....
...######...
..########..
..########..
.##########.
....####....
....####....
....####....
....####....
....####....
....####....
....####....
"""


def drawn(name: str, x: int, y: int, radius: int, degrees: int) -> glyph.Ints:
    place = [np.full((1, 1, 1), value, np.int32) for value in (16 * x, 16 * y, 16 * radius, degrees)]
    return glyph._cover(SHAPES[name](*glyph._frame(*place)), place[2])[0]


def test_a_drawn_arrow_looks_like_one() -> None:
    cover = drawn("arrow", 12, 20, 7, 0)
    rows = ["".join("#" if value > 32 else "." for value in row) for row in cover[13:27, 6:18]]
    assert rows == ARROW.split()
    assert (cover > 32).sum() == ARROW.count("#")


@pytest.mark.parametrize("degrees", [0, 30, -45, 200])
def test_a_turned_disc_and_cross_keep_their_areas(degrees: int) -> None:
    unit = (10 / 1024) ** 2
    assert drawn("disc", 16, 15, 10, degrees).sum() / 64 == pytest.approx(np.pi * 900**2 * unit, rel=0.02)
    area = (4 * 960 * 290 * 2 - 4 * 290**2) * unit
    assert drawn("cross", 16, 15, 10, degrees).sum() / 64 == pytest.approx(area, rel=0.02)


def test_a_turn_goes_counterclockwise() -> None:
    rows, columns = np.nonzero(drawn("arrow", 16, 16, 10, 90) > 32)
    width = np.bincount(columns, minlength=32)
    assert width[:16].max() > width[16:].max() + 5  # the head is on the left
    assert abs(rows.mean() - 15.5) < 0.3


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"moon"}))
def test_shapes_but_the_moon_are_their_own_mirror_images(name: str) -> None:
    u, v = np.meshgrid(np.arange(-1200, 1201, 25, dtype=np.int32), np.arange(-1200, 1201, 25, dtype=np.int32))
    assert abs(SHAPES[name](u, v) - SHAPES[name](-u, v)).max() <= 2


def test_shape_and_colour_of_the_hundred_are_those_of_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_as = []
    monkeypatch.setattr(glyph, "_draw", lambda dice, *kinds: drawn_as.append(kinds))
    glyph._hundred(glyph.Dice(np.random.PCG64(5), 100), np.arange(100, dtype=np.int32).reshape(-1, 1, 1))
    shape, hue, texture = (kind.flatten() for kind in drawn_as[0])
    for label in range(100):
        colour = glyph.COLOURS[(hue[label] + 18) // 36 % 10]
        assert CLASSES100[label] == f"{colour} {CLASSES[shape[label]]}"
    assert len(set(texture)) == 4
    for colour, channel in (("red", 0), ("green", 1), ("blue", 2)):
        degrees = np.array([[[36 * glyph.COLOURS.index(colour)]]], np.int32)
        assert glyph._colour(degrees, np.int32(128), np.int32(50)).argmax() == channel


def test_digits_are_written_as_digits_are() -> None:
    field = digit._distances()
    thick = field < 130  # rows go up
    assert thick.shape[0] == len(STROKES) == 10
    middle = thick.shape[1] // 2
    holes = [ndimage.label(~written)[1] - 1 for written in thick]
    assert holes == [1, 0, 0, 0, 1, 0, 1, 0, 2, 1]
    pieces = [ndimage.label(written, np.ones((3, 3)))[1] for written in thick]
    assert pieces == [1] * 10
    top, bottom = thick[:, middle:].sum((1, 2)), thick[:, :middle].sum((1, 2))
    assert top[9] > 1.2 * bottom[9]
    assert bottom[6] > 1.2 * top[6]
    distance = field[1][middle, middle + 4]  # right of the stem of the one, which stands at 60
    assert abs(distance - (4.5 * 16 - 60)) <= 2


def test_digits_vary_in_place_size_thickness_and_light() -> None:
    x = digits("train", 1000).x[:, 0].float()
    bright = x.amax((1, 2))
    assert bright.min() > 140
    assert bright.std() > 20
    ink = (x > 100).float()
    assert (ink[:, 2:-2, 2:-2].sum() / ink.sum()) > 0.97, "they stay within the image"
    area = ink.mean((1, 2))
    assert area.quantile(0.9) > 2 * area.quantile(0.1)
    height = (ink.amax(2).sum(1)).quantile(torch.tensor([0.05, 0.95]))
    assert height[1] > height[0] + 5
    centre = (ink.sum(1) * torch.arange(28)).sum(1) / ink.sum((1, 2))
    assert 12.5 < centre.mean() < 14.5
    assert 0.7 < centre.std() < 3


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return (model.eval()(x).argmax(1) == y).float().mean().item()


def learn(model: nn.Module, x: Tensor, y: Tensor, rate: float, decay: float, steps: int) -> nn.Module:
    order = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(y), (50,), generator=order)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()
    return model


@pytest.mark.parametrize(
    ("make", "n", "steps", "of_linear", "of_convnet"),
    [
        (glyphs, 2000, 250, (0.12, 0.28), (0.35, 0.9)),
        (glyphs100, 4000, 500, (0.03, 0.15), (0.12, 0.5)),
        (digits, 2000, 250, (0.5, 0.9), (0.95, 1.01)),
    ],
)
def test_a_convnet_learns_what_a_linear_model_cannot(
    make: Make, n: int, steps: int, of_linear: tuple[float, float], of_convnet: tuple[float, float]
) -> None:
    train, test = make("train", n), make("test", 1000)
    classes, (channels, *_) = len(train.classes), train.x[0].shape
    x, held_out = (images.x.float() / 64 - 2 for images in (train, test))
    torch.manual_seed(0)
    # A stride in the first layer keeps this quick.
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
    convnet = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), classes))
    assert accuracy(convnet, held_out, test.y) < 1.6 / classes
    straight = accuracy(learn(linear, x, train.y, 1e-3, 0.1, steps), held_out, test.y)
    curved = accuracy(learn(convnet, x, train.y, 2e-2, 0.01, steps), held_out, test.y)
    assert of_linear[0] < straight < of_linear[1]
    assert max(of_convnet[0], 1.2 * straight) < curved < of_convnet[1]


def test_errors_are_one_line_and_name_what_is_allowed() -> None:
    for make in (glyphs, glyphs100, digits):
        name = make.__name__
        with pytest.raises(LabkitError, match=rf"^no split 'valid' in {name}; allowed: train, test$"):
            make("valid", 10)
        for n, seed in ((0, 0), (-5, 0), (10, -1)):
            with pytest.raises(LabkitError, match=rf"^{name} needs n of 1 or more .* n={n}, seed={seed}$"):
                make("train", n, seed)


def shown(name: str) -> Tensor:
    """Return the picture on the page of a set: three rows of ten classes, or a shape in each of three."""
    if name == "glyphs100":
        images = glyphs100("test", 1_000)
        labels = [[10 * shape + colour for colour in range(10)] for shape in (0, 5, 7)]
        return grid([torch.stack([images.x[images.y == label][0] for label in row]) for row in labels])
    images = {"glyphs": glyphs, "digits": digits}[name]("test", 200)
    rows = [torch.stack([images.x[images.y == k][row] for k in range(10)]) for row in range(3)]
    return grid([row.expand(-1, 3, -1, -1) for row in rows])


@pytest.mark.parametrize("name", ["glyphs", "glyphs100", "digits"])
def test_the_picture_on_the_data_page_is_what_the_generator_draws(name: str) -> None:
    picture = PACKAGE.parent / "book" / "_static" / f"{name}.png"
    assert np.array_equal(np.asarray(Image.open(picture)), shown(name).numpy())

"""The embedded glyphs: the same bits everywhere, the right shapes, and a problem worth learning."""

import time

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Polygon
from PIL import Image
from torch import Tensor, nn

from labkit.data import embedded
from labkit.data.embedded import CLASSES, SHAPES, glyphs
from labkit.errors import LabkitError
from labkit.show.sheet import grid
from labkit.source.files import PACKAGE


def test_the_bits_are_the_committed_ones_and_come_soon() -> None:
    start = time.process_time()
    train = glyphs("train", 4000)
    assert time.process_time() - start < 5
    assert train.fingerprint == "1e81d922af7df948"
    assert glyphs("test", 1000).fingerprint == "94d32374eec36f81"


def test_images_are_what_is_promised() -> None:
    images = glyphs("test", 57)
    assert (images.name, images.differences) == ("glyphs/test", "")
    assert (images.x.shape, images.x.dtype) == ((57, 3, 32, 32), torch.uint8)
    assert (images.y.shape, images.y.dtype) == ((57,), torch.int64)
    assert images.classes == CLASSES
    assert len(set(CLASSES)) == 10


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("n", [1, 7, 10, 1003])
def test_classes_are_balanced_and_shuffled(split: str, n: int) -> None:
    y = glyphs(split, n).y
    counts = torch.bincount(y, minlength=10)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1
    if n > 1000:
        assert len(y[:20].unique()) > 5
        assert (y.diff() == 1).float().mean() < 0.2


def test_splits_and_seeds_differ() -> None:
    first, *others = (
        glyphs("train", 200),
        glyphs("test", 200),
        glyphs("train", 200, 1),
        glyphs("train", 200, 2),
    )
    assert glyphs("train", 200, seed=0).fingerprint == first.fingerprint
    for other in others:
        assert (first.x != other.x).float().mean() > 0.9
        assert (first.y != other.y).float().mean() > 0.5
    assert len({x.fingerprint for x in (first, *others)}) == 4


@pytest.mark.parametrize(("split", "low", "high"), [("train", 0.02, 0.04), ("test", 0, 0)])
def test_some_train_labels_are_wrong_and_no_test_labels(
    monkeypatch: pytest.MonkeyPatch, split: str, low: float, high: float
) -> None:
    noisy = glyphs(split, 3000)
    monkeypatch.setattr(embedded, "MISLABELLED", 0)
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


def drawn(name: str, x: int, y: int, radius: int, degrees: int) -> embedded.Ints:
    place = [np.full((1, 1, 1), value, np.int32) for value in (16 * x, 16 * y, 16 * radius, degrees)]
    return embedded._cover(SHAPES[name](*embedded._frame(*place)), place[2])[0]


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


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return (model.eval()(x).argmax(1) == y).float().mean().item()


def learn(model: nn.Module, x: Tensor, y: Tensor, rate: float, decay: float) -> nn.Module:
    steps, order = 250, torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(y), (50,), generator=order)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()
    return model


def test_a_convnet_learns_what_a_linear_model_cannot() -> None:
    train, test = glyphs("train", 2000), glyphs("test", 1000)
    x, held_out = (images.x.float() / 64 - 2 for images in (train, test))
    torch.manual_seed(0)
    # A stride in the first layer keeps this quick.
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
    convnet = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    assert accuracy(convnet, held_out, test.y) < 0.16
    straight = accuracy(learn(linear, x, train.y, 1e-3, 0.1), held_out, test.y)
    curved = accuracy(learn(convnet, x, train.y, 2e-2, 0.01), held_out, test.y)
    assert 0.12 < straight < 0.28
    assert max(0.35, 1.6 * straight) < curved < 0.9


def test_errors_are_one_line_and_name_what_is_allowed() -> None:
    with pytest.raises(LabkitError, match=r"^no split 'valid' in glyphs; allowed: train, test$"):
        glyphs("valid", 10)
    for n, seed in ((0, 0), (-5, 0), (10, -1)):
        with pytest.raises(LabkitError, match=rf"^glyphs needs n of 1 or more .* n={n}, seed={seed}$"):
            glyphs("train", n, seed)


def test_the_picture_on_the_data_page_is_what_the_generator_draws() -> None:
    images = glyphs("test", 200)
    rows = [torch.stack([images.x[images.y == k][row] for k in range(10)]) for row in range(3)]
    picture = PACKAGE.parent / "book" / "_static" / "glyphs.png"
    assert np.array_equal(np.asarray(Image.open(picture)), grid(rows).numpy())

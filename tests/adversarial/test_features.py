"""Constructed sets: inversion against least squares, independent labels and starts, nothing NaN."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from labkit.adversarial.attack import attacked_accuracy
from labkit.adversarial.defences.tuning import adversarially_tuned
from labkit.adversarial.features.inversion import (
    Inversion,
    distances,
    inverted,
    noise,
    other_images,
    penultimate,
)
from labkit.adversarial.features.relabelled import next_class, random_targets, relabelled, towards
from labkit.adversarial.white_box.balls import L2
from labkit.adversarial.white_box.projected import ProjectedGradient
from labkit.data.augment import raw
from labkit.data.batches import Loader
from labkit.data.embedded.digits import digits
from labkit.data.images import Images
from labkit.measure.predict import accuracy
from labkit.models.normalized import Normalized
from labkit.models.resnet import resnet8
from labkit.randomness import stream
from labkit.training.fit import fit
from labkit.training.recipe import Recipe


class Read(nn.Module):
    """Features W x of flattened pixels."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.weight = torch.randn(12, outputs, generator=torch.Generator().manual_seed(0)) / 10

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight


def pictures(n: int, seed: int = 0) -> Tensor:
    return torch.randint(100, 156, (n, 3, 2, 2), generator=torch.Generator().manual_seed(seed)).float()


def test_on_a_linear_network_inversion_finds_the_nearest_image_with_these_features() -> None:
    read, start, goal = Read(4), pictures(4), Read(4)(pictures(4, seed=1))
    found = Inversion(6.0, 400, precision="float32")(read, goal, start)
    # gradients lie in the span of W, and so the end is the start plus the least change that does it
    missing = goal - read(start)
    least = torch.linalg.lstsq(read.weight.T, missing.T).solution.T.view_as(start)
    assert (start + least).min() > 0
    assert (start + least).max() < 255, "nothing is cut off in this example"
    torch.testing.assert_close(found, start + least, atol=0.05, rtol=0)
    assert distances(read, found, goal).max() < 1e-3


def test_steps_are_as_long_in_every_image_fall_linearly_and_end_among_pixels() -> None:
    read, start = Read(4), pictures(5)
    goal = read(start + 1000)
    one = Inversion(8.0, 1)(read, goal, start)
    torch.testing.assert_close((one - start).flatten(1).norm(dim=1), torch.full((5,), 8.0))
    two = Inversion(8.0, 2)(read, goal, start)
    assert ((two - one).flatten(1).norm(dim=1) - 4).abs().max() < 1e-3
    far = Inversion(300.0, 40)(read, goal, start)
    assert far.min() >= 0
    assert far.max() <= 255


def test_a_start_at_the_goal_stays_and_is_finite() -> None:
    read, x = Read(4), pictures(3)
    found = Inversion(8.0, 5, precision="float32")(read, read(x), x)
    assert torch.equal(found, x)
    assert torch.equal(distances(read, x, read(x)), torch.zeros(3))
    assert distances(read, x, torch.zeros(3, 4)).isfinite().all()


def test_the_distance_is_a_share_of_the_goal() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]]).view(2, 1, 1, 2)
    goal = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert distances(Same(), x, goal).tolist() == [0, 1]


def test_penultimate_is_what_the_last_layer_reads() -> None:
    torch.manual_seed(0)
    model = Normalized(resnet8(), [120.0, 110.0, 100.0], [60.0, 61.0, 62.0]).eval()
    x = torch.rand(4, 3, 32, 32) * 255
    features = penultimate(model)
    assert not features.training
    torch.testing.assert_close(model.model[-1](features(x)), model(x))
    assert features.model[0].weight is model.model[0].weight


@pytest.mark.parametrize("n", [2, 3, 7, 200])
def test_nobody_begins_at_himself_and_everybody_is_begun_at(n: int, images: Images) -> None:
    many = Images("some", torch.zeros(n, 1, 1, 1, dtype=torch.uint8), torch.zeros(n).long(), ("a",), "f")
    for seed in range(20):
        others = other_images(many, stream(seed, 0))
        assert not (others == torch.arange(n)).any()
        assert others.sort().values.equal(torch.arange(n))


def test_starts_and_random_labels_know_nothing_of_the_label() -> None:
    n = 20_000
    y = torch.arange(n) % 10
    many = Images("some", torch.zeros(n, 1, 1, 1, dtype=torch.uint8), y, tuple("0123456789"), "f")
    others, labels = other_images(many, stream(0, 0)), random_targets(y, 10, stream(0, 1))
    for drawn in (y[others], labels):
        table = torch.zeros(10, 10).index_put_((y, drawn), torch.ones(n), accumulate=True)
        expected = n / 100
        chi_squared = ((table - expected) ** 2 / expected).sum().item()
        assert 45 < chi_squared < 130, "81 degrees of freedom"
    assert next_class(torch.tensor([0, 4, 9]), 10).tolist() == [1, 5, 0]


def test_noise_is_uniform_over_the_grey_levels(images: Images) -> None:
    drawn = noise(images, stream(0, 0))
    assert drawn.dtype == torch.uint8
    assert drawn.shape == images.x.shape
    assert drawn.double().mean().item() == pytest.approx(127.5, abs=3)
    assert drawn.min() < 5
    assert drawn.max() > 250


def learned(images: Images, seed: int) -> Normalized:
    """Return a network with one hidden layer, trained on `images`."""
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    model = Normalized(layers, [33.0], [78.0])
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    fit(model, Loader(images, 50, [raw], 0), 100, optimizer)
    return model.eval()


@pytest.fixture(scope="module")
def seen() -> tuple[Normalized, Images, Images]:
    """A network with one hidden layer that reads digits well, and the digits."""
    training, test = digits("train", 400), digits("test", 400)
    model = learned(training, 0)
    assert accuracy(model, test, [raw]) > 0.8
    return model, training, test


@pytest.fixture(scope="module")
def random_labels(seen: tuple[Normalized, Images, Images]) -> tuple[Tensor, Tensor]:
    """A random label for each training digit, and what has to be added for the network to see it."""
    model, training, _ = seen
    targets = random_targets(training.y, 10, stream(0, 0))
    attack = ProjectedGradient(L2(900.0), 250.0, 12, targeted=True, random_start=False)
    return targets, towards(model, training, targets, attack, size=150)


def test_a_relabelled_set_is_near_the_images_and_seen_as_its_labels(
    seen: tuple[Normalized, Images, Images], random_labels: tuple[Tensor, Tensor]
) -> None:
    (model, training, _), (targets, change) = seen, random_labels
    made = relabelled(training, change, targets, "random label")
    assert accuracy(model, made, [raw]) > 0.95
    assert made.x.dtype == torch.float32
    assert ((made.x - training.x).flatten(1).norm(dim=1) <= 900.01).all()
    assert made.x.min() >= 0
    assert made.x.max() <= 255
    assert torch.equal(made.y, targets)
    other = relabelled(training, 0 * change, targets, "random label")
    assert len({training.fingerprint, made.fingerprint, other.fingerprint}) == 3
    assert "random label" in made.name
    assert "random label" in made.differences


def test_what_was_written_into_images_is_learned_and_labels_alone_are_not(
    seen: tuple[Normalized, Images, Images], random_labels: tuple[Tensor, Tensor]
) -> None:
    (_, training, test), (targets, change) = seen, random_labels
    right = []
    for scale in (1, 0):
        made = relabelled(training, scale * change, targets, "made")
        right.append(accuracy(learned(made, 1), test, [raw]))
    assert right[0] > right[1] + 0.1
    assert right[1] < 0.2


def test_an_inverted_set_has_the_features_and_none_of_the_pixels(
    seen: tuple[Normalized, Images, Images],
) -> None:
    model, training, _ = seen
    few = training.first(60)
    start = noise(few, stream(0, 0))
    found = inverted(model, few, start, Inversion(1500.0, 60), size=25)
    features = penultimate(model)
    goal = features(few.x.float()).detach()
    before, after = (distances(features, x.float(), goal).mean() for x in (start, found))
    assert found.dtype == torch.uint8
    assert after < before / 3
    assert (found.float() - start.float()).abs().mean() < (found.float() - few.x.float()).abs().mean()
    assert (model(found.float()).argmax(1) == model(few.x.float()).argmax(1)).double().mean() > 0.9


def test_adversarial_tuning_makes_a_copy_more_robust_than_tuning_does(
    seen: tuple[Normalized, Images, Images],
) -> None:
    model, training, test = seen
    before = {name: value.clone() for name, value in model.state_dict().items()}
    left = []
    for eps in (200.0, 0.0):
        attack = ProjectedGradient(L2(eps), eps / 2, 2, random_start=False)
        tuned = copy.deepcopy(model)
        tuned.load_state_dict(adversarially_tuned(model, training, Recipe(60, 0.02, 50), attack))
        left.append(attacked_accuracy(tuned, test, ProjectedGradient(L2(200.0), 50.0, 8, stop=True)))
    assert left[0] > left[1] + 0.02
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

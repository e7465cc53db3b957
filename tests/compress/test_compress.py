"""Pruning against torch.nn.utils.prune, hand-made numbers and closed forms."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune

from labkit.compress.continuous import Sharpening, SoftMask, hard_mask, penalised, soften
from labkit.compress.masks import (
    KeepMask,
    everything,
    kept,
    prunable,
    prune_by_shape,
    prune_global,
    prune_layerwise,
    remaining,
    shuffled,
    weights_of,
)
from labkit.compress.scores import CRITERIA, ranks, saliency, score
from labkit.compress.tickets import iterative_pruning
from labkit.data.augment import raw
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.errors import LabkitError
from labkit.models.resnet import ResNet, resnet20
from labkit.training.fit import cross_entropy, fit


def train(model: nn.Module, images: Images, steps: int, *callbacks, lr: float = 0.01) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=0.01)
    fit(model, Loader(images, 8, [raw], 0), steps, optimizer, callbacks=callbacks, precision="float32")


def test_prunable_are_the_weights_the_paper_prunes() -> None:
    names = prunable(resnet20())
    weights = weights_of(resnet20(), names)
    assert len(names) == 19
    # 3x3 convolutions of ResNet-20 by hand; the 2,560 shortcut and 640 output weights are exempt
    by_hand = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    assert sum(weight.numel() for weight in weights.values()) == by_hand == 267_696
    assert not any("bn" in name or "shortcut" in name or name == "5.weight" for name in names)


def test_global_masks_are_those_of_torch(model: ResNet) -> None:
    names = prunable(model)
    layers = [(model.get_submodule(name.removesuffix(".weight")), "weight") for name in names]
    mask = everything(weights_of(model, names))
    magnitudes = {name: weight.abs() for name, weight in weights_of(model, names).items()}
    for _ in range(3):  # torch's amount counts the weights still there, as ours does
        mask = prune_global(mask, magnitudes, 0.3)
        prune.global_unstructured(layers, prune.L1Unstructured, amount=0.3)
    for name, (layer, _) in zip(names, layers, strict=True):
        assert torch.equal(mask[name], layer.weight_mask.bool())


def test_layerwise_masks_are_those_of_torch(model: ResNet) -> None:
    names = prunable(model)
    magnitudes = {name: weight.abs() for name, weight in weights_of(model, names).items()}
    mask = prune_layerwise(everything(magnitudes), magnitudes, 0.7)
    for name in names:
        layer = copy.deepcopy(model.get_submodule(name.removesuffix(".weight")))
        prune.l1_unstructured(layer, "weight", amount=0.7)
        assert torch.equal(mask[name], layer.weight_mask.bool())


def test_every_round_removes_an_exact_number_whatever_the_ties() -> None:
    weights = {"a": torch.zeros(6, 5), "b": torch.zeros(70)}  # all scores are equal
    mask, left = everything(weights), 100
    for _ in range(8):
        mask = prune_global(mask, weights, 0.2)
        left -= round(0.2 * left)
        assert kept(mask) == left
        assert remaining(mask) == left / 100
    assert left == 17  # 100 80 64 51 41 33 26 21 17


def test_prune_keeps_what_was_pruned_before() -> None:
    scores = {"a": torch.arange(10.0)}
    first = prune_global(everything(scores), scores, 0.5)
    again = prune_global(first, {"a": -torch.arange(10.0)}, 0.4)  # now the largest go first
    assert again["a"].nonzero().flatten().tolist() == [5, 6, 7]
    assert first["a"].sum() == 5


def test_a_fraction_outside_0_to_1_is_refused() -> None:
    with pytest.raises(LabkitError, match=r"1\.5; allowed: 0 to 1"):
        prune_global({"a": torch.ones(3, dtype=torch.bool)}, {"a": torch.ones(3)}, 1.5)


def test_a_layer_that_would_keep_more_than_it_holds_keeps_all_and_the_others_share_the_rest() -> None:
    scores = {"small": torch.rand(3, 2, 1, 1), "large": torch.rand(20, 20, 3, 3)}
    mask = prune_by_shape(everything(scores), scores, 0.5)
    # in proportion to 7 and 46 the small layer, of 6 weights, would keep 238
    assert [kept({name: tensor}) for name, tensor in mask.items()] == [6, 1803 - 6]


def test_shuffled_keeps_the_number_in_each_tensor_and_moves_the_places() -> None:
    mask = {"a": torch.arange(100).view(10, 10) < 30, "b": torch.arange(50) < 5}
    other = shuffled(mask, Generator().manual_seed(0))
    assert [int(m.sum()) for m in other.values()] == [30, 5]
    assert not torch.equal(other["a"], mask["a"])
    assert other["a"].shape == (10, 10)


def test_pruned_weights_stay_exactly_zero_with_momentum_and_weight_decay(
    model: ResNet, images: Images
) -> None:
    train(model, images, 3)  # weights and statistics that are not those of the start
    names = prunable(model)
    magnitudes = {name: weight.abs() for name, weight in weights_of(model, names).items()}
    mask = prune_global(everything(magnitudes), magnitudes, 0.9)
    before = weights_of(model, names)
    train(model, images, 7, KeepMask(mask))
    for name, weight in weights_of(model, names).items():
        assert weight[~mask[name]].abs().sum() == 0
        assert (weight != before[name])[mask[name]].all(), "the weights that are kept must train"


def test_tickets_start_from_the_state_they_are_rewound_to(model: ResNet, images: Images) -> None:
    start = copy.deepcopy(model.state_dict())
    train(model, images, 4)
    names, seen = prunable(model), []
    for number, mask in iterative_pruning(model, [0.5] * 3, rewind_to=start):
        for key, value in model.state_dict().items():
            assert torch.equal(value, start[key]), f"{key} was not rewound"
        train(model, images, 3, KeepMask(mask))
        magnitudes = {name: weight.abs() for name, weight in weights_of(model, names).items()}
        seen.append((number, kept(mask)))
        expected = prune_global(mask, magnitudes, 0.5)
    total = sum(weight.numel() for weight in weights_of(model, names).values())
    assert seen == [(1, total - round(total / 2)), (2, total // 4), (3, total // 8)]
    assert kept(expected) == total // 16


def test_without_rewinding_the_weights_are_kept(model: ResNet, images: Images) -> None:
    train(model, images, 4)
    trained = copy.deepcopy(model.state_dict())
    [(_, mask)] = iterative_pruning(model, [0.5], rewind_to=None)
    assert all(torch.equal(value, trained[key]) for key, value in model.state_dict().items())
    assert remaining(mask) == 0.5


def test_rounds_score_the_trained_weights_each_time_and_by_whatever_they_are_told(
    model: ResNet, images: Images
) -> None:
    start = copy.deepcopy(model.state_dict())
    names, scored = prunable(model), []

    def smallest_first(model: nn.Module) -> dict[str, Tensor]:
        scored.append(weights_of(model, names))
        return {name: -weight.abs() for name, weight in scored[-1].items()}

    fractions = [0.5, 0.2, 0.9]
    for number, mask in iterative_pruning(model, fractions, rewind_to=start, score=smallest_first):
        before = scored[-1]
        kept_largest = max(before[name][mask[name]].abs().max() for name in names)
        pruned = torch.cat([before[name][~mask[name]].abs() for name in names])
        assert kept_largest <= pruned[pruned > 0].min()  # zero are those of earlier rounds
        assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())
        train(model, images, 2, KeepMask(mask))
        assert len(scored) == number
    assert not torch.equal(scored[1][names[0]], scored[2][names[0]])
    left = sum(start[name].numel() for name in names)
    for fraction in fractions:
        left -= round(fraction * left)
    assert kept(mask) == left


def test_densities_by_shape_are_those_of_the_erdos_renyi_kernel(model: ResNet) -> None:
    names = prunable(model)
    weights = weights_of(model, names)
    scores = {name: weight.abs() for name, weight in weights.items()}
    mask = everything(weights)
    total = kept(mask)
    for fraction in (0.8, 0.5, 0.6):
        wanted = (1 - fraction) * kept(mask)
        mask = prune_by_shape(mask, scores, fraction)
        # Evci et al. 2020: 1 - sparsity is proportional to (n_in + n_out + h + w) / (n_in n_out h w)
        shares = {name: mask[name].double().mean().item() for name in names}
        ratio = [
            shares[name] * weight.numel() / sum(weight.shape)
            for name, weight in weights.items()
            if shares[name] < 1
        ]
        assert max(ratio) - min(ratio) <= max(1 / sum(weight.shape) for weight in weights.values())
        assert abs(kept(mask) - wanted) <= len(names) / 2
        for name, weight in weights.items():
            pruned = weight.abs()[~mask[name]]
            assert not len(pruned) or weight.abs()[mask[name]].min() >= pruned.max()
    assert kept(mask) < 0.05 * total


# The weights of a network of two layers before and after training, and which 3 of its 6 weights stay.
BEFORE = {"a": torch.tensor([[0.5, -0.1], [0.2, -0.9]]), "b": torch.tensor([[0.3, 0.4]])}
AFTER = {"a": torch.tensor([[0.6, -0.8], [-0.25, -0.1]]), "b": torch.tensor([[0.35, -1.0]])}
KEPT = {  # flat: a00 a01 a10 a11 b0 b1
    "large_final": [1, 1, 0, 0, 0, 1],  # .6 .8 .25 .1 .35 1
    "small_final": [0, 0, 1, 1, 1, 0],
    "large_init": [1, 0, 0, 1, 0, 1],  # .5 .1 .2 .9 .3 .4
    "small_init": [0, 1, 1, 0, 1, 0],
    "large_init_large_final": [1, 0, 0, 0, 1, 1],  # smaller rank: 3 0 1 0 2 3
    "small_init_small_final": [0, 0, 1, 0, 1, 0],  # smaller rank: 1 1 4 0 3 0: two above, then a tie
    "magnitude_increase": [1, 1, 0, 0, 0, 1],  # .1 .7 .05 -.8 .05 .6
    "movement": [0, 1, 0, 1, 0, 1],  # .1 .7 .45 .8 .05 1.4
    "large_final_same_sign": [1, 1, 0, 0, 1, 0],  # .6 .8 0 .1 .35 0
}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria_keep_the_weights_found_by_hand(criterion: str) -> None:
    expected = KEPT[criterion]
    fraction = 1 - sum(expected) / 6
    mask = prune_global(everything(AFTER), score(criterion, BEFORE, AFTER), fraction)
    assert torch.cat([m.flatten() for m in mask.values()]).int().tolist() == expected


def test_the_joint_criterion_is_the_common_percentile_found_by_bisection() -> None:
    generator = Generator().manual_seed(3)
    before, after = torch.randn(2, 500, generator=generator).double()

    def both(percentile: float) -> Tensor:
        return (ranks(before.abs()) >= percentile * 500) & (ranks(after.abs()) >= percentile * 500)

    low, high = 0.0, 1.0  # the reference code bisects for the percentile that both must pass
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if both(middle).sum() > 100 else (low, middle)
    scores = score("large_init_large_final", {"w": before}, {"w": after})
    mask = prune_global({"w": torch.ones(500, dtype=torch.bool)}, scores, 0.8)["w"]
    assert mask.sum() == 100
    assert both(high).sum() >= 99  # a weight may share its rank with another
    assert not (both(high) & ~mask).any()
    assert not (mask & ~both(low)).any()


def test_saliency_is_the_gradient_times_the_weight_by_hand(images: Images) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 5, bias=False), nn.ReLU(), nn.Linear(5, 10, bias=False)
    )
    model.double()
    loader = Loader(images, 8, [lambda x, _: x.double() / 255], 0)
    scores = saliency(model, ["1.weight", "3.weight"], loader, batches=2)
    first, second = model[1].weight, model[3].weight
    total_1, total_2 = torch.zeros_like(first), torch.zeros_like(second)
    for step in range(2):  # backpropagation through two layers, written out
        batch = loader.batch(step)
        x = batch.x.flatten(1)
        hidden = x @ first.T
        active = hidden.clamp(min=0)
        error = (active @ second.T).softmax(1) - F.one_hot(batch.y, 10)
        total_2 += error.T @ active / 8 / 2
        total_1 += ((error @ second) * (hidden > 0)).T @ x / 8 / 2
    torch.testing.assert_close(scores["1.weight"], (total_1 * first).abs().detach())
    torch.testing.assert_close(scores["3.weight"], (total_2 * second).abs().detach())


def test_saliency_leaves_the_model_as_it_was(model: ResNet, images: Images) -> None:
    model.eval()
    before = copy.deepcopy(model.state_dict())
    saliency(model, prunable(model), Loader(images, 8, [raw], 0))
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_soft_masks_start_from_the_network_as_it_is(model: ResNet, images: Images) -> None:
    model.eval()
    x = images.x.float()
    before = model(x)
    soften(model, -0.2)
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-4)


def test_soft_masks_are_the_papers_formula() -> None:
    weight = torch.tensor([1.0, -2.0, 3.0])
    mask = SoftMask(weight, 0.5)
    mask.s.data.copy_(torch.tensor([0.1, -0.2, 0.0]))
    mask.beta.fill_(10.0)
    sigmoid = [1 / (1 + math.exp(-z)) for z in (1.0, -2.0, 0.0, 0.5)]
    by_hand = [w * g / sigmoid[3] for w, g in zip(weight.tolist(), sigmoid, strict=False)]
    torch.testing.assert_close(mask(weight), torch.tensor(by_hand))
    assert hard_mask({"w": mask})["w"].tolist() == [True, False, False]
    mask.next_round()  # s <- min(beta s, s_0), beta <- 1
    torch.testing.assert_close(mask.s.data, torch.tensor([0.5, -2.0, 0.0]))
    assert mask.beta == 1


def test_the_penalty_is_the_sum_of_the_gates(model: ResNet, images: Images) -> None:
    batch = Loader(images, 8, [raw], 0).batch(0)
    masks = soften(model, 0.0)
    gates = sum(mask.s.numel() for mask in masks.values()) / 2  # every gate is open by half
    difference = penalised(masks, 0.01)(model, batch) - cross_entropy(model, batch)
    torch.testing.assert_close(difference, torch.tensor(0.01 * gates), rtol=1e-4, atol=0)


def test_beta_rises_from_one_to_its_end_epoch_by_epoch(model: ResNet, images: Images) -> None:
    masks = soften(model, 0.0)
    some = next(iter(masks.values()))
    seen: list[float] = []

    class Look(KeepMask):
        def on_step_end(self, training) -> None:
            seen.append(some.beta.item())

    train(model, images, 15, Sharpening(masks, 200.0, 5), Look({}))
    expected = [1.0] * 5 + [math.sqrt(200)] * 5 + [200.0] * 5
    assert seen == pytest.approx(expected, rel=1e-6)


def test_gates_and_weights_learn_and_the_hard_mask_is_what_the_soft_one_becomes(
    model: ResNet, images: Images
) -> None:
    names = prunable(model)
    masks = soften(model, 0.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loss = penalised(masks, 1e-5)
    callbacks = [Sharpening(masks, 1e6, 5)]
    fit(
        model, Loader(images, 8, [raw], 0), 15, optimizer, loss=loss, callbacks=callbacks, precision="float32"
    )
    for name, mask in hard_mask(masks).items():
        assert name in names
        share = mask.double().mean()
        assert 0 < share < 1
        layer = model.get_submodule(name.removesuffix(".weight"))
        closed: Tensor = layer.weight[~mask & (masks[name].s != 0)]
        assert parametrize.is_parametrized(layer)
        assert closed.abs().max() < 1e-3

"""Federated learning against plain SGD, rules against others' code, attacks against cases by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import trim_mean
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from labkit.data.embedded.digits import digits
from labkit.distributed.federated import data_attacks, model_attacks, partition, rules
from labkit.distributed.federated.clients import (
    Work,
    drawn_batches,
    flat,
    load,
    padded,
    plan,
    shaped,
    train_clients,
)
from labkit.distributed.federated.rounds import Federation, run_rounds
from labkit.distributed.federated.rules import Received
from labkit.distributed.federated.threats import (
    AllModels,
    DataPoisoning,
    FullKnowledge,
    OwnData,
    OwnModels,
    PartialKnowledge,
    crafted,
)
from labkit.errors import LabkitError
from labkit.models.fedavg import FedAvgNet
from labkit.models.mlp import MLP
from labkit.models.normalized import Normalized
from labkit.randomness import stream
from labkit.training.callbacks import Callback, Training
from labkit.training.checkpoint import Checkpoint


def dice(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=dice(seed))


def network(hidden: tuple[int, ...] = (8,)) -> nn.Module:
    torch.manual_seed(0)
    return Normalized(MLP(hidden), [0.0], [255.0])


def mean(received: Received) -> Tensor:
    return received.models.mean(0)


def federation(
    clients: int = 10, attackers: int = 0, work: Work | None = None, share: float = 1.0
) -> Federation:
    images = digits("train", 300)
    owned = partition.iid(images.y, clients, dice())
    return Federation(images, owned, work or Work(0.3, batch=8, steps=1), share, attackers)


# Who has what


@pytest.mark.parametrize(
    "share_out",
    [
        partition.iid,
        partition.shards,
        partial(partition.dirichlet, alpha=0.3),
        partial(partition.groups, q=0.5),
    ],
)
def test_no_image_is_given_away_twice_and_a_seed_decides(share_out) -> None:
    y = digits("train", 1_000).y
    owned = share_out(y, 20, dice(3))
    given = torch.cat(owned)
    assert len(owned) == 20
    assert len(given) == len(given.unique()) == 1_000
    again, other = share_out(y, 20, dice(3)), share_out(y, 20, dice(4))
    assert all(torch.equal(a, b) for a, b in zip(owned, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(owned, other, strict=True))


def test_shards_are_of_one_class_and_a_client_has_two_of_them() -> None:
    y = torch.arange(10).repeat_interleave(100)[torch.randperm(1_000, generator=dice())]
    owned = partition.shards(y, 50, dice())  # 100 shards of 10: none lies across two classes
    for own in owned:
        assert len(own) == 20
        assert len(y[own[:10]].unique()) == len(y[own[10:]].unique()) == 1
    assert sum(len(y[own].unique()) == 2 for own in owned) > 35


def test_a_group_gets_its_class_with_probability_q() -> None:
    y = torch.arange(10).repeat(2_000)
    for q in (0.1, 0.5, 1.0):
        owned = partition.groups(y, 20, dice(), q)
        largest = torch.stack([y[own].bincount(minlength=10).max() / len(own) for own in owned])
        assert largest.mean() == pytest.approx(max(q, 0.12), abs=0.02)
    with pytest.raises(LabkitError, match="multiple"):
        partition.groups(y, 15, dice(), 0.5)


def test_a_small_alpha_gives_a_class_to_few_clients() -> None:
    y = torch.arange(10).repeat(500)

    def half_of_a_class(alpha: float) -> float:
        owned = partition.dirichlet(y, 20, dice(), alpha)
        counts = torch.stack([y[own].bincount(minlength=10) for own in owned]).sort(0, descending=True).values
        return float((counts.cumsum(0) < 250).sum(0).float().mean() + 1)

    assert half_of_a_class(0.1) < 3 < 8 < half_of_a_class(100)
    with pytest.raises(LabkitError, match="alpha"):
        partition.dirichlet(y, 20, dice(), 0)


# Clients


def one_by_one(model: nn.Module, x: Tensor, y: Tensor, planned, rate: float) -> Tensor:
    """The same training by a plain loop: a client, a step, an optimizer."""
    start, trained = flat(model), []
    for index, weight in zip(planned.index, planned.weight, strict=True):
        load(model, start)
        optimizer = torch.optim.SGD(model.parameters(), rate)
        for at, real in zip(index, weight > 0, strict=True):
            if real.any():
                optimizer.zero_grad()
                F.cross_entropy(model(x[at[real]].float()), y[at[real]]).backward()
                optimizer.step()
        trained.append(flat(model))
    load(model, start)
    return torch.stack(trained)


@pytest.mark.parametrize("at_once", [None, 2])
@pytest.mark.parametrize("work", [Work(0.3), Work(0.3, 2, 8), Work(0.3, 3, 8, steps=4)])
@pytest.mark.parametrize("make", [network, lambda: Normalized(FedAvgNet(width=2, hidden=8), [0.0], [255.0])])
def test_all_clients_together_are_each_by_itself(make, work: Work, at_once: int | None) -> None:
    torch.manual_seed(1)
    model, images = make(), digits("train", 120)
    owned = partition.dirichlet(images.y, 5, dice(1), 0.8)
    assert len({len(own) for own in owned}) > 1
    planned = plan(owned, work, dice(2))
    models, losses = train_clients(model, images.x, images.y, planned, work.learning_rate, at_once)
    expected = one_by_one(model, images.x, images.y, planned, work.learning_rate)
    assert torch.allclose(models, expected, atol=1e-5)
    assert not torch.allclose(models[0], flat(model), atol=1e-4)
    first = [
        F.cross_entropy(model(images.x[at[real]].float()), images.y[at[real]])
        for at, real in zip(planned.index[:, 0], planned.weight[:, 0] > 0, strict=True)
        if real.any()
    ]
    assert torch.allclose(losses[planned.weight[:, 0].sum(1) > 0], torch.stack(first), atol=1e-5)


def test_an_epoch_sees_every_image_once_and_steps_end_it() -> None:
    owned = [torch.arange(7), torch.arange(7, 10), torch.empty(0, dtype=torch.int64)]
    planned = plan(owned, Work(0.1, epochs=2, batch=3), dice())
    assert planned.index.shape == (3, 6, 3)
    for client, own in enumerate(owned):
        real = planned.weight[client] > 0
        assert sorted(planned.index[client][real].tolist()) == sorted(own.tolist() * 2)
        assert planned.weight[client].sum().item() == pytest.approx(2 * -(-len(own) // 3))
    assert plan(owned, Work(0.1, epochs=2, batch=3, steps=1), dice()).index.shape == (3, 1, 3)
    assert plan(owned, Work(0.1), dice()).index.shape == (3, 1, 7)
    with pytest.raises(LabkitError, match="none of the clients"):
        plan(owned[2:], Work(0.1), dice())


@pytest.mark.parametrize("work", [Work(0.1), Work(0.1, epochs=2, batch=3), Work(0.1, batch=4, steps=1)])
def test_a_client_by_itself_has_the_batches_it_has_among_all(work: Work) -> None:
    owned = [torch.arange(7), torch.empty(0, dtype=torch.int64), torch.arange(7, 10)]
    whole = plan(owned, work, dice(1))
    for client in range(3):
        own = padded(drawn_batches(owned[: client + 1], work, dice(1))[client:])
        _, steps, size = own.index.shape
        for alone, among in ((own.index, whole.index), (own.weight, whole.weight)):
            assert torch.equal(alone[0], among[client, :steps, :size])
        assert own.weight.sum() == whole.weight[client].sum()


def test_a_vector_is_the_model_and_back() -> None:
    model = network()
    vector = flat(model)
    assert sum(value.numel() for value in shaped(model, vector).values()) == len(vector)
    load(model, vector + 1)
    assert torch.equal(flat(model), vector + 1)
    assert sum(p.numel() for p in FedAvgNet().parameters()) == 1_663_370
    assert sum(p.numel() for p in MLP((200, 200)).parameters()) == 199_210


def test_one_step_of_all_clients_on_all_images_is_a_step_on_the_union() -> None:
    model = network()
    fed = federation(work=Work(0.5))
    given = torch.cat(list(fed.owned))
    loss = F.cross_entropy(model(fed.images.x[given].float()), fed.images.y[given])
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    expected = flat(model) - 0.5 * gradient
    run_rounds(model, fed, lambda r: rules.average(r.models, r.sizes), 1, 0)
    assert torch.allclose(flat(model), expected, atol=1e-6)


# Rules

RULES = {
    "median": rules.median,
    "trimmed mean": partial(rules.trimmed_mean, cut=2),
    "Krum": partial(rules.krum, attackers=2),
    "multi-Krum": partial(rules.multi_krum, attackers=2),
    "clipped mean": lambda models: rules.clipped_mean(models, torch.zeros(models.shape[1])),
    "rejection": lambda models: rules.loss_rejection(models, 2, lambda found: found.square().sum(1)),
    "average": lambda models: rules.average(models, torch.ones(len(models))),
}


def test_median_and_trimmed_mean_are_those_of_numpy_and_scipy() -> None:
    for m in (8, 9):
        models = gaussian(m, 50, seed=m)
        assert torch.allclose(rules.median(models), torch.from_numpy(np.median(models.numpy(), axis=0)))
        expected = torch.from_numpy(trim_mean(models.numpy(), 2 / m + 1e-9, axis=0))
        assert torch.allclose(rules.trimmed_mean(models, 2), expected, atol=1e-6)
    with pytest.raises(LabkitError, match="leave nothing"):
        rules.trimmed_mean(models, 5)


def test_the_average_weighs_by_numbers_of_images() -> None:
    models, sizes = gaussian(3, 4), torch.tensor([1.0, 2.0, 5.0])
    expected = (models[0] + 2 * models[1] + 5 * models[2]) / 8
    assert torch.allclose(rules.average(models, sizes), expected, atol=1e-6)


def test_krum_by_hand() -> None:
    # On a line, five models and one attacker: the two nearest others count.
    models = torch.tensor([[0.0], [1.0], [2.0], [4.0], [9.0]])
    scores = rules.krum_scores(rules.squared_distances(models), 1)
    assert scores.tolist() == pytest.approx([1 + 4, 1 + 1, 1 + 4, 4 + 9, 25 + 49])
    assert rules.krum(models, 1).tolist() == [1.0]
    assert rules.multi_krum(models, 1).tolist() == pytest.approx([(0 + 1 + 2 + 4) / 4])
    with pytest.raises(LabkitError, match="leave nothing"):
        rules.krum(models, 3)


def test_distances_are_right_far_from_zero() -> None:
    models = gaussian(6, 30) * 1e-3 + 50
    expected = torch.cdist(models.double(), models.double()).square()
    assert torch.allclose(rules.squared_distances(models), expected, rtol=1e-2, atol=1e-9)


def test_clipping_shortens_steps_to_the_median_length() -> None:
    previous = torch.tensor([1.0, 1.0])
    models = previous + torch.tensor([[1.0, 0.0], [0.0, 2.0], [30.0, 40.0]])
    expected = previous + torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.2, 1.6]]).mean(0)
    assert torch.allclose(rules.clipped_mean(models, previous), expected)
    two = previous + torch.tensor([[1.0, 0.0], [0.0, 3.0]])  # of an even number, the mean of the middle two
    assert torch.allclose(rules.clipped_mean(two, previous), previous + torch.tensor([0.5, 1.0]))


def test_rejection_turns_away_those_whose_absence_helps() -> None:
    models = torch.tensor([[0.1], [-0.1], [0.2], [5.0], [4.0]])
    found = rules.loss_rejection(models, 2, lambda candidates: candidates.square().sum(1))
    assert found.item() == pytest.approx(0.2 / 3, abs=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_the_order_of_clients_does_not_matter(name: str) -> None:
    models = gaussian(12, 40)
    order = torch.randperm(12, generator=dice(1))
    assert torch.allclose(RULES[name](models), RULES[name](models[order]), atol=1e-6)


@pytest.mark.parametrize("name", ["median", "trimmed mean", "Krum", "multi-Krum"])
def test_far_lies_up_to_the_number_reckoned_with_move_a_robust_rule_little(name: str) -> None:
    models = gaussian(12, 40)
    lies = models.clone()
    lies[:2] = 1e4
    assert RULES["average"](lies).norm() > 1e3
    assert RULES[name](lies).norm() < 1.5 * models.norm(dim=1).max()


# Attacks


def views(c: int = 4, honest: int = 12, d: int = 30) -> AllModels:
    drift = 0.05 * gaussian(d, seed=1)
    models = drift + 0.3 * gaussian(c + honest, d, seed=2)
    return AllModels(torch.zeros(d), models[:c], c + honest, models[c:])


def test_the_direction_is_that_of_honest_change() -> None:
    previous = torch.tensor([0.0, 1.0, 2.0])
    own, others = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[-3.0, 1.0, 1.0]])
    assert model_attacks.direction(OwnModels(previous, own, 2)).tolist() == [1, 0, -1]
    assert model_attacks.direction(AllModels(previous, own, 2, others)).tolist() == [-1, 0, -1]


def test_weights_that_no_client_moves_have_no_direction_and_no_lies() -> None:
    still = gaussian(1_000).expand(100, -1)
    view = AllModels(still[0], still[:20], 100, still[20:])
    assert still.mean(0).ne(still[0]).any()  # a mean of equal floats is another float
    assert not model_attacks.direction(view).any()
    assert torch.equal(model_attacks.beyond_all(view, dice()), still[:20])


def test_beyond_all_by_hand() -> None:
    #            falls, high > 0 | falls, high < 0 | rises, low > 0 | rises, low < 0
    previous = torch.tensor([5.0, 0.0, 0.0, -5.0])
    others = torch.tensor([[1.0, -4.0, 2.0, -2.0], [3.0, -2.0, 4.0, -1.0]])
    view = AllModels(previous, others[:1].expand(50, -1), 52, others)
    lies = model_attacks.beyond_all(view, dice())
    for column, (low, high) in enumerate([(3, 6), (-2, -1), (1, 2), (-4, -2)]):
        assert lies[:, column].min() >= low
        assert lies[:, column].max() <= high
        assert lies[:, column].std() > 0.1 * (high - low)


def test_beyond_guessed_is_three_to_four_deviations_against_the_change() -> None:
    own = torch.tensor([[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]])  # mean 2 and -2, deviation 1
    lies = model_attacks.beyond_guessed(OwnModels(torch.zeros(2), own, 30), dice())
    assert bool(((lies[:, 0] >= -2) & (lies[:, 0] <= -1)).all())
    assert bool(((lies[:, 1] >= 1) & (lies[:, 1] <= 2)).all())


@pytest.mark.parametrize("attack", [model_attacks.beyond_all, model_attacks.beyond_guessed])
def test_deviations_push_the_rules_they_are_made_for_against_the_honest_change(attack) -> None:
    view = views()
    honest = torch.cat([view.own, view.others])
    sent = torch.cat([attack(view, dice()), view.others])
    away = model_attacks.direction(view)
    for rule in (rules.median, partial(rules.trimmed_mean, cut=4)):
        moved = ((rule(sent) - rule(honest)) * away).sum()
        assert moved < 0


def test_krum_takes_the_lie_and_would_not_take_a_farther_one() -> None:
    view = views()
    lies = model_attacks.deceive_krum(view, dice())
    assert torch.equal(lies[0], lies[-1])
    away = model_attacks.direction(view)
    factors = (view.previous - lies[0]) * away
    assert factors.std() < 1e-5
    assert factors.mean() > 1e-4
    assert torch.equal(rules.krum(torch.cat([lies, view.others]), 4), lies[0])
    farther = view.previous - 2 * factors.mean() * away
    assert not torch.equal(rules.krum(torch.cat([farther.expand(4, -1), view.others]), 4), farther)


def test_krum_is_deceived_without_the_others_models() -> None:
    view = views(c=6, honest=14)
    partial_view = OwnModels(view.previous, view.own, view.clients)
    lies = model_attacks.deceive_krum_guessing(partial_view, dice())
    assert torch.equal(lies[0], lies[-1])
    assert torch.equal((view.previous - lies[0]).sign(), model_attacks.direction(partial_view))
    assert torch.equal(rules.krum(torch.cat([lies, view.others]), 6), lies[0])


def test_min_max_stays_as_near_as_honest_models_are_to_each_other() -> None:
    view = views()
    lie = model_attacks.min_max(view, dice())[0]
    widest = torch.cdist(view.others, view.others).max()
    assert (lie - view.others).norm(dim=1).max() == pytest.approx(widest.item(), rel=1e-3)
    assert bool((lie > view.others.mean(0)).all())  # in gradients, the authors' code subtracts


def test_the_gaussian_attack_has_mean_and_deviation_of_honest_models() -> None:
    own = torch.tensor([[0.0, 10.0], [2.0, 10.0]]).repeat(2_000, 1)
    lies = model_attacks.gaussian(OwnModels(torch.zeros(2), own, 4_000), dice())
    assert torch.allclose(lies.mean(0), own.mean(0), atol=0.1)
    assert torch.allclose(lies.std(0), own.std(0), atol=0.1)


def test_labels_are_mirrored() -> None:
    images = digits("train", 20)
    x, y = data_attacks.flipped(OwnData(images.x, images.y, images.x, 10, network()), dice())
    assert torch.equal(x, images.x)
    assert torch.equal(y, 9 - images.y)


def test_conjugate_gradients_solve() -> None:
    root = gaussian(6, 6).double()
    matrix, b = root @ root.T + torch.eye(6), gaussian(6, seed=1).double()
    found = data_attacks.conjugate_gradients(lambda v: matrix @ v, b, 30)
    assert torch.allclose(matrix @ found, b, atol=1e-6)


def test_the_gradient_of_poison_is_that_of_training_to_the_end() -> None:
    """Ridge-like logistic regression in float64, trained to its end with one pixel a little up and down."""
    torch.manual_seed(0)
    x, y = gaussian(12, 3, seed=5).double(), torch.arange(12) % 2
    clean_x, clean_y = gaussian(9, 3, seed=6).double(), torch.arange(9) % 2
    damping = 0.5

    def trained(poison: Tensor) -> nn.Module:
        model = nn.Linear(3, 2).double()
        optimizer = torch.optim.LBFGS(
            model.parameters(), max_iter=500, tolerance_grad=1e-13, tolerance_change=0
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            size = sum(p.square().sum() for p in model.parameters())
            loss = F.cross_entropy(model(poison), y) + damping / 2 * size
            loss.backward()
            return loss

        optimizer.step(closure)
        return model

    # The Hessian is asked for on the clean images: take the poison itself for them in H.
    model = trained(x)
    weights = list(model.parameters())
    outer = torch.autograd.grad(F.cross_entropy(model(clean_x), clean_y), weights)
    b = torch.cat([part.flatten() for part in outer])
    assert b.norm() > 1e-3
    up, down = x.clone(), x.clone()
    up[2, 1] += 1e-4
    down[2, 1] -= 1e-4
    losses = [F.cross_entropy(trained(each)(clean_x), clean_y).item() for each in (up, down)]
    numeric = (losses[0] - losses[1]) / 2e-4
    found = data_attacks.ascent(model, (x, y), (clean_x, clean_y), damping, 50, hessian_on=(x, y))[
        2, 1
    ].item()
    assert found == pytest.approx(numeric, rel=1e-3)


def test_bilevel_poison_stays_an_image_and_flips_labels() -> None:
    images = digits("train", 60)
    view = OwnData(images.x, images.y, images.x, 10, network())
    x, y = data_attacks.Bilevel(step=13)(view, dice())
    assert (x.dtype, x.shape) == (torch.uint8, images.x.shape)
    assert torch.equal(y, 9 - images.y)
    moved = (x.int() - images.x.int()).abs()
    assert 0 < moved.max() <= 13
    assert not torch.equal(x, images.x)


# What an attack can see


def test_partial_knowledge_cannot_see_others_nor_reach_them() -> None:
    models, lying = gaussian(8, 5), torch.arange(8) < 3
    seen: list[OwnModels] = []

    def look(view: OwnModels, generator: Generator) -> Tensor:
        seen.append(view)
        view.own.zero_()  # writing must change nothing outside
        return torch.full_like(view.own, 9.0)

    previous, before = torch.zeros(5), models.clone()
    sent = crafted(PartialKnowledge(look), models, lying, previous, dice())
    assert torch.equal(models, before)
    assert torch.equal(sent[3:], before[3:])
    assert bool((sent[:3] == 9).all())
    [view] = seen
    assert type(view) is OwnModels
    assert not hasattr(view, "others")
    for tensor in (view.own, view.previous):
        assert tensor.untyped_storage().nbytes() == tensor.numel() * 4  # no rows of others behind it
        assert tensor._base is None
    changed = models.clone()
    changed[3:] = 77.0
    for craft in (model_attacks.gaussian, model_attacks.beyond_guessed, model_attacks.deceive_krum_guessing):
        lies = [
            crafted(PartialKnowledge(craft), each, lying, previous, dice())[:3] for each in (models, changed)
        ]
        assert torch.equal(*lies)
    both = [
        crafted(FullKnowledge(model_attacks.beyond_all), each, lying, previous, dice())[:3]
        for each in (models, changed)
    ]
    assert not torch.equal(*both)


def test_data_poisoning_sees_its_own_images_and_honest_clients_keep_theirs() -> None:
    fed, seen = federation(attackers=3), []

    def look(view: OwnData, generator: Generator) -> tuple[Tensor, Tensor]:
        seen.append((view.x.clone(), view.y.clone(), view.poison.clone()))
        view.model.load_state_dict({k: v * 0 for k, v in view.model.state_dict().items()})
        return view.poison * 0, view.y * 0

    model, before = network(), (fed.images.x.clone(), fed.images.y.clone())
    run_rounds(model, fed, mean, 4, 0, attack=DataPoisoning(look, every=2))
    mine = torch.cat(list(fed.owned[:3]))
    assert len(seen) == 2
    assert torch.equal(seen[0][0], fed.images.x[mine])
    assert torch.equal(seen[1][0], fed.images.x[mine])  # as they were
    assert seen[0][2].any()
    assert not seen[1][2].any()  # as they are now
    assert torch.equal(fed.images.x, before[0])
    assert torch.equal(fed.images.y, before[1])
    assert flat(model).norm() > 0


# Rounds


def test_a_round_is_what_its_parts_are() -> None:
    model, fed = network(), federation(clients=10, attackers=4, share=0.5)
    lies = FullKnowledge(lambda view, generator: torch.full_like(view.own, 5.0))
    received: list[Received] = []

    def rule(each: Received) -> Tensor:
        received.append(each)
        return each.previous

    start = flat(model)
    history = run_rounds(model, fed, rule, 3, 7, attack=lies)
    assert [len(each.models) for each in received] == [5, 5, 5]
    assert all(torch.equal(each.previous, start) for each in received)
    assert torch.equal(flat(model), start)
    counts = [int((each.models == 5).all(1).sum()) for each in received]
    assert len(set(counts)) > 1  # who takes part is drawn anew
    assert all(each.sizes.tolist() == [30.0] * 5 for each in received)
    assert history.series("nearest lies")[1] == [0.0, 0.0, 0.0]
    assert len(history.series("loss")[1]) == 3


def test_the_attacker_does_not_get_the_generator_of_the_server() -> None:
    def seen(attack_of) -> int:
        seeds: list[int] = []

        def look(view: OwnModels, generator: Generator) -> Tensor:
            seeds.append(generator.initial_seed())
            return view.own

        run_rounds(network(), federation(attackers=3), mean, 4, 7, attack=attack_of(look))
        assert len(set(seeds)) == 4
        return len(set(seeds) & {stream(7, number).initial_seed() for number in range(4)})

    assert seen(PartialKnowledge) == seen(FullKnowledge) == 0


def test_undisturbed_rounds_learn_and_lies_undo_it() -> None:
    images = digits("train", 1_000)
    owned = partition.iid(images.y, 20, dice())
    fed = Federation(images, owned, Work(0.5, batch=10, steps=1), attackers=4)

    def error(attack) -> float:
        model = network(())
        run_rounds(model, fed, mean, 40, 0, attack=attack)
        return (model(images.x.float()).argmax(1) != images.y).float().mean().item()

    assert error(None) < 0.25
    assert error(FullKnowledge(model_attacks.beyond_all)) > 0.6


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, training: Training) -> None:
        if training.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["data", "models"])
def test_rounds_that_were_stopped_go_on_to_the_same_model(kind: str, tmp_path: Path) -> None:
    attack = {
        "data": DataPoisoning(data_attacks.Bilevel(iterations=2), every=2),
        "models": FullKnowledge(model_attacks.beyond_all),
    }[kind]

    def run(path: Path, *before: Callback) -> nn.Module:
        model = network(())
        callbacks = [*before, Checkpoint(path, "key", every=3)]
        run_rounds(model, federation(attackers=2), mean, 10, 5, attack=attack, callbacks=callbacks)
        return model

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part", StopAt(7))
    resumed = run(tmp_path / "part", StopAt(99))
    assert torch.equal(flat(whole), flat(resumed))


def test_a_federation_is_decided_by_its_seed() -> None:
    found = []
    for seed in (1, 1, 2):
        model = network(())
        run_rounds(model, federation(share=0.5), mean, 3, seed)
        found.append(flat(model))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])

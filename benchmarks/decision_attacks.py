"""HopSkipJump three times on the same network and images: ours, foolbox's and ART's, and bare inference.

    python -m benchmarks.decision_attacks          # a quarter of an hour on one idle core; needs LABKIT_DATA

Each has 2,500 queries an image, counted by the same oracle, which answers none beyond them and keeps the
nearest adversarial picture; so a distance is that of a picture that was asked about, whoever asked. Settings
are each package's own. The victim is the public ResNet-20 in float32, the images are correctly classified
test images. Bare inference is as many pictures through the same network, 250 at a time.

All take turns, some images a round. Prints the median L2 distance, of pixels 0..1, over all images, ours over
theirs (geometric mean over images, with its standard error), and the seconds, of the processor and of the
clock, as multiples of bare inference (median over rounds); writes them to
benchmarks/results/decision_attacks.json. foolbox sees as many pictures at once as there are images, or one by
one, and ART those of one image, as they do by themselves. Recording costs a few microseconds a query, for
everyone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks.kept import keep
from labkit.adversarial.black_box.hopskipjump import hop_skip_jump
from labkit.adversarial.black_box.oracle import Oracle
from labkit.data.images import Images
from labkit.data.store import load
from labkit.data.subsets import split
from labkit.data.vision import torchvision
from labkit.errors import LabkitError
from labkit.models.pretrained import pretrained
from labkit.randomness import seeded

VICTIM, IMAGES, ROUNDS, BUDGET, SEED = "cifar10_resnet20", 8, 4, 2500, 100
AT = (500, 1000, 1500, 2000, BUDGET)
assert torchvision  # has to come before the peers, which import it


class Asked(nn.Module):
    """A network for the peers that knows no more than what the oracle answers: logits 0 and 1."""

    def __init__(self, oracle: Oracle, ids: Tensor) -> None:
        super().__init__()
        self.oracle, self.ids = oracle, ids

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of `x`, 0..1: the class of its original, or the next one where it is adversarial."""
        ids = self.ids if len(self.ids) == len(x) else self.ids.repeat(len(x))
        found = self.oracle.ask(x.float(), ids)
        return F.one_hot((self.oracle.classes[ids] + found) % 10, 10).float()


def ours(oracle: Oracle) -> None:
    """Attack with labkit, with probes as long as those of ART."""
    hop_skip_jump(oracle, torch.initial_seed(), probe=0.01)


def by_foolbox(oracle: Oracle, ids: Tensor | None = None) -> None:
    """Attack with foolbox, until the oracle refuses."""
    from foolbox.attacks.hop_skip_jump import HopSkipJumpAttack
    from foolbox.models.pytorch import PyTorchModel

    ids = torch.arange(len(oracle.classes)) if ids is None else ids
    model = PyTorchModel(Asked(oracle, ids).eval(), bounds=(0, 1))
    with suppress(LabkitError):
        HopSkipJumpAttack().run(model, oracle.originals[ids], oracle.classes[ids])


def by_foolbox_alone(oracle: Oracle) -> None:
    """Attack with foolbox, image after image: it divides by norms over the whole batch."""
    for i in range(len(oracle.classes)):
        by_foolbox(oracle, torch.tensor([i]))


def by_art(oracle: Oracle) -> None:
    """Attack with ART, image after image, until the oracle refuses."""
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import PyTorchClassifier

    for i in range(len(oracle.classes)):
        victim = PyTorchClassifier(
            Asked(oracle, torch.tensor([i])), nn.CrossEntropyLoss(), (3, 32, 32), 10, clip_values=(0, 1)
        )
        attack = HopSkipJump(victim, batch_size=oracle.batch, verbose=False)
        with suppress(LabkitError):
            attack.generate(oracle.originals[i : i + 1].numpy())


def bare(model: nn.Module, queries: int, batch: int) -> None:
    """Let the network see as many pictures."""
    x = (torch.rand(batch, 3, 32, 32) * 255).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for start in range(0, queries, batch):
            model(x[: min(batch, queries - start)]).argmax(1)


def victims(model: nn.Module) -> list[Images]:
    """Return correctly classified test images for each round."""
    (drawn,) = split(load("cifar10", "test"), [2 * IMAGES * ROUNDS], SEED)
    with torch.no_grad():
        right = (model(drawn.x.float()).argmax(1) == drawn.y).nonzero().flatten()
    return [
        drawn.take(right[k * IMAGES : (k + 1) * IMAGES], f"correct ones of round {k}") for k in range(ROUNDS)
    ]


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds of the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Run all rounds, print and write the result."""
    model = pretrained(VICTIM).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    attacks = {"labkit": ours, "foolbox": by_foolbox, "ART": by_art, "foolbox, one by one": by_foolbox_alone}
    distances: dict[str, list[Tensor]] = {name: [] for name in attacks}
    asked: dict[str, list[int]] = {name: [] for name in attacks}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ("bare inference", *attacks)}
    bare(model, 500, 250)  # warms up
    for k, images in enumerate(tqdm(victims(model), "rounds")):
        pictures = BUDGET * len(images)
        seconds["bare inference"].append(timed(lambda pictures=pictures: bare(model, pictures, 250)))  # type: ignore[misc]
        for name, attack in attacks.items():
            seeded(SEED + k)
            oracle = Oracle(model, images.x, images.y, budget=BUDGET)
            seconds[name].append(timed(lambda attack=attack, oracle=oracle: attack(oracle)))  # type: ignore[misc]
            distances[name].append(oracle.distances(AT))
            asked[name].append(int(oracle.asked.sum()))
            tqdm.write(f"{name}: median L2 {oracle.distance.quantile(0.5):.3f}, {seconds[name][-1][1]:.0f} s")
    joined = {name: torch.cat(found, 1) for name, found in distances.items()}
    medians = {name: found.quantile(0.5, 1).tolist() for name, found in joined.items()}
    logs = {name: (joined["labkit"] / found).log() for name, found in joined.items() if name != "labkit"}
    ratios = {name: log.mean(1).exp().tolist() for name, log in logs.items()}
    errors = {name: (log.std(1) / log.shape[1] ** 0.5).tolist() for name, log in logs.items()}
    result = {
        "threads": torch.get_num_threads(),
        "images": IMAGES * ROUNDS,
        "queries": AT,
        "median L2": medians,
        "ours over theirs": ratios,
        "its standard error, of the logarithm": errors,
        "asked": asked,
        "seconds (clock, processor)": seconds,
    }
    print(f"median L2 after queries     {'  '.join(f'{q:>6}' for q in AT)}")
    for name, values in medians.items():
        print(f"{name:27} {'  '.join(f'{value:6.3f}' for value in values)}")
    for name, values in ratios.items():
        print(f"ours / {name:20} {'  '.join(f'{value:6.3f}' for value in values)}")
        print(f"  its standard error        {'  '.join(f'{value:6.3f}' for value in errors[name])}")
    full = [BUDGET * IMAGES] * ROUNDS
    for unit, kind in enumerate(("clock", "processor")):
        base = [took[unit] / BUDGET / IMAGES for took in seconds["bare inference"]]
        for name, times in seconds.items():
            counts = asked.get(name, full)
            each = [took[unit] / n for took, n in zip(times, counts, strict=True)]
            ratio = statistics.median(one / other for one, other in zip(each, base, strict=True))
            print(f"{kind:9} {name:19} {1e6 * statistics.median(each):6.0f} µs a query, {ratio:.2f} of bare")
    keep("decision_attacks", torch.device("cpu"), result)


if __name__ == "__main__":
    main()

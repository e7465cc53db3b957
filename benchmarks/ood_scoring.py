"""How fast images are scored and scores judged, side by side with pytorch-ood, in one run.

    python -m benchmarks.ood_scoring            # about a minute on an idle core

- images: from uint8 images to one score each, by a ResNet-20, for MSP, energy and ODIN with preprocessing.
  Theirs is the usual loop over batches with a detector of pytorch-ood around the same network.
- logits: from the logits of 200,000 images to a score each; our probabilities are float64, theirs float32.
- judging: AUROC, AUPR and FPR95 of 10,000 scores inside and 10,000 outside.

All take turns, so that a machine that slows down slows all of them; the first round warms up and does not
count. Both sides must find the same, or nothing is written. Prints images per second and ratios, as median
over rounds, and writes them to benchmarks/results/ood_scoring.json.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.kept import keep
from labkit.data.augment import raw
from labkit.data.images import Images
from labkit.data.vision import torchvision  # noqa: F401  pytorch_ood imports it bare
from labkit.measure.detection import detection
from labkit.measure.predict import logits
from labkit.models.normalized import Normalized
from labkit.models.resnet import cifar_resnet
from labkit.uncertainty.scores import energy, moved_logits, msp, odin

IMAGES, LOGITS, SCORES, BATCH, ROUNDS = 250, 200_000, 10_000, 125, 5
EPSILON, TEMPERATURE = 0.0014, 1000.0
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Contest = Callable[[], Tensor]


def contests() -> dict[str, tuple[int, Contest, Contest]]:
    """Return for each contest how many images it takes, and ours and theirs, with the same sign."""
    from pytorch_ood.detector import ODIN, EnergyBased, MaxSoftmax
    from pytorch_ood.metrics import OODMetrics

    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8).to(DEVICE)
    images = Images("random", x, torch.zeros(IMAGES, dtype=torch.int64), ("none",), "random")
    torch.manual_seed(0)
    model = Normalized(cifar_resnet(20), [125.3, 123.0, 113.9], [63.0, 62.1, 66.7]).to(DEVICE).eval()
    f = 6 * torch.randn(LOGITS, 10, generator=generator).to(DEVICE)
    inside, outside = (shift + torch.randn(SCORES, generator=generator) for shift in (1, 0))
    labels = torch.cat([-torch.ones(SCORES), torch.ones(SCORES)]).long()  # there outliers are positive

    def loop(detector: Callable[[Tensor], Tensor], *, gradients: bool = False) -> Contest:
        def run() -> Tensor:
            with torch.set_grad_enabled(gradients):
                return -torch.cat([detector(batch.float()) for batch in x.split(BATCH)])

        return run

    def theirs_judging() -> Tensor:
        metrics = OODMetrics()
        metrics.update(torch.cat([inside, outside]), labels)
        found = metrics.compute()
        return torch.tensor([float(found[name]) for name in ("AUROC", "FPR95TPR")])

    def ours_judging() -> Tensor:
        found = detection(inside, outside)
        return torch.tensor([found.auroc, found.fpr95])

    moved = ODIN(model, eps=255 * EPSILON, temperature=TEMPERATURE)
    return {
        "images, MSP": (
            IMAGES,
            lambda: msp(logits(model, images, [raw], BATCH)),
            loop(MaxSoftmax(model)),
        ),
        "images, energy": (
            IMAGES,
            lambda: energy(logits(model, images, [raw], BATCH)),
            loop(EnergyBased(model)),
        ),
        "images, ODIN": (
            IMAGES,
            lambda: odin(moved_logits(model, images, [raw], [EPSILON], BATCH)[0], TEMPERATURE),
            loop(moved, gradients=True),
        ),
        "logits, MSP": (LOGITS, lambda: msp(f), lambda: -MaxSoftmax.score(f)),
        "logits, energy": (LOGITS, lambda: energy(f), lambda: -EnergyBased.score(f)),
        "judging": (2 * SCORES, ours_judging, theirs_judging),
    }


def main() -> None:
    """Run all rounds, print and write the result."""
    speeds: dict[str, list[float]] = {}
    for number in tqdm(range(ROUNDS + 1), "rounds"):
        for name, (count, *sides) in contests().items():
            answers = []
            for side, contest in zip(("labkit", "pytorch-ood"), sides, strict=True):
                started = time.perf_counter()
                answers.append(contest().cpu().double())
                if number:
                    speed = count / (time.perf_counter() - started)
                    speeds.setdefault(f"{name}, {side}", []).append(speed)
            torch.testing.assert_close(*answers, atol=1e-4, rtol=1e-4)
    ratios = {
        f"labkit / pytorch-ood, {name}": [
            ours / theirs
            for ours, theirs in zip(speeds[f"{name}, labkit"], speeds[f"{name}, pytorch-ood"], strict=True)
        ]
        for name in contests()
    }
    for name, values in (speeds | ratios).items():
        median, low, high = statistics.median(values), min(values), max(values)
        print(f"{name:36} median {median:12,.2f}   {low:,.2f} to {high:,.2f}")
    result = {
        "threads": torch.get_num_threads(),
        "images per second": speeds,
        "ratios": ratios,
    }
    keep("ood_scoring", DEVICE, result)


if __name__ == "__main__":
    main()

"""How fast `fit` trains ResNet-20, side by side with the bare step and with a usual loop, in one run.

    python -m benchmarks.training_speed            # about two minutes on two idle cores

- bare step: the same model, batch size, precision and memory layout on one fixed batch: no data, no logging.
- usual loop: DataLoader with worker processes, PIL transforms, float32, as in most public CIFAR-10 scripts.
- fit: labkit's loop with the same augmentation on whole batches.

Bare step and fit are there in each precision; the one that a lab would take on this machine is marked. All
take turns, so that a machine that slows down slows all of them; the first round warms up and does not count.
Images are random: speed does not depend on what they show. Prints images per second and ratios, as median
over rounds, and writes them to benchmarks/results/training_speed.json.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from benchmarks.kept import keep
from labkit.data.augment import flip, normalize, pad_crop
from labkit.data.batches import Loader
from labkit.data.images import Images
from labkit.data.vision import torchvision
from labkit.models.resnet import resnet20
from labkit.training.fastest import fastest
from labkit.training.fit import fit
from labkit.training.precision import Switch, choose

BATCH, STEPS, ROUNDS = 128, 40, 5
PRECISIONS: tuple[Switch, ...] = ("float32", "bfloat16")
MEAN, STD = [125.3, 123.0, 113.9], [63.0, 62.1, 66.7]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def images() -> Images:
    """Return as many random images as one round takes."""
    x = torch.randint(0, 256, (BATCH * STEPS, 3, 32, 32), dtype=torch.uint8)
    return Images("random", x, torch.randint(0, 10, (len(x),)), tuple("0123456789"), "random")


class Pictures(Dataset[tuple[Tensor, int]]):
    """The images as PIL pictures through torchvision's transforms, one at a time."""

    def __init__(self, source: Images) -> None:
        t = torchvision.transforms
        self.x, self.y = source.x.permute(0, 2, 3, 1).contiguous().numpy(), source.y.tolist()
        scaled = t.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD])
        self.transform = t.Compose([t.RandomHorizontalFlip(), t.RandomCrop(32, 4), t.ToTensor(), scaled])

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        """Return picture and label."""
        return self.transform(Image.fromarray(self.x[i])), self.y[i]


def network() -> tuple[nn.Module, torch.optim.SGD]:
    """Return a new ResNet-20 and its optimizer."""
    model = resnet20().to(DEVICE)
    return model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)


def bare_step(source: Images, switch: Switch) -> None:
    """Take the steps of one round on one fixed batch."""
    model, optimizer = network()
    precision = choose(DEVICE, switch)
    precision.place(model)
    batch = Loader(source, BATCH, [normalize(MEAN, STD)], 0).batch(0)
    x, y = precision.layout(batch.x), batch.y
    for _ in range(STEPS):
        optimizer.zero_grad()
        with precision.autocast():
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    loss.item()  # wait for the device


def usual_loop(source: Images) -> None:
    """Train for one round as most public scripts do."""
    model, optimizer = network()
    loader = DataLoader(Pictures(source), BATCH, shuffle=True, num_workers=2)
    for x, y in loader:
        loss = F.cross_entropy(model(x.to(DEVICE)), y.to(DEVICE))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # such scripts print a running loss


def labkit_fit(source: Images, switch: Switch) -> None:
    """Train for one round with labkit."""
    model, optimizer = network()
    loader = Loader(source, BATCH, [flip, pad_crop(4), normalize(MEAN, STD)], 0)
    fit(model, loader, STEPS, optimizer, precision=switch).series("loss")


def main() -> None:
    """Run all rounds, print and write the result."""
    source = images()
    there = source.to(DEVICE)
    best = fastest(DEVICE).name
    contestants: dict[str, Callable[[], None]] = {"usual loop": lambda: usual_loop(source)}
    for switch in PRECISIONS:
        contestants[f"bare step, {switch}"] = partial(bare_step, there, switch)
        contestants[f"fit, {switch}"] = partial(labkit_fit, there, switch)
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in tqdm(range(ROUNDS + 1), "rounds"):
        for name, contest in contestants.items():
            started = time.perf_counter()
            contest()
            speeds[name].append(BATCH * STEPS / (time.perf_counter() - started))
    speeds = {name: values[1:] for name, values in speeds.items()}
    ratios = {
        f"fit / {other}, {switch}": [
            ours / theirs
            for ours, theirs in zip(
                speeds[f"fit, {switch}"], speeds.get(f"{other}, {switch}", speeds["usual loop"]), strict=True
            )
        ]
        for other in ("bare step", "usual loop")
        for switch in PRECISIONS
    }
    result = {
        "fastest": best,
        "images per second": speeds,
        "ratios": ratios,
    }
    for name, values in (speeds | ratios).items():
        mark = "*" if name.endswith(best) else " "
        median, low, high = statistics.median(values), min(values), max(values)
        print(f"{name:28}{mark} median {median:8.2f}   {low:.2f} to {high:.2f}")
    keep("training_speed", DEVICE, result)


if __name__ == "__main__":
    main()

"""How fast PGD is beside foolbox and torchattacks, at equal robust accuracy, in one run.

    python -m benchmarks.attacks            # about five minutes on one idle core

The same public networks, the same test images, the same budget: ten steps of 2.5 eps / 10 from the image
itself, so that nobody has luck. All three attack the same batches; each result is judged by the same float32
forward pass, which is not part of the time. Ours is there twice: `labkit` computes all steps of all images,
`labkit, stop` lets an image leave the batch once it is misread, which is enough for a robust accuracy. Peers
have no such choice. Gradients are computed in the precision that a lab takes on this machine.

All take turns; the first round warms up and does not count. Prints images per second and robust accuracies,
as median over rounds, and writes them to benchmarks/results/attacks.json.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.kept import keep
from labkit.adversarial.white_box.balls import L2, Ball, Linf
from labkit.adversarial.white_box.projected import ProjectedGradient
from labkit.data.images import Images
from labkit.data.store import load
from labkit.data.vision import torchvision  # noqa: F401  the peers import it, and it needs help
from labkit.lab.clock import spent
from labkit.models.pretrained import pretrained
from labkit.training.fastest import fastest
from labkit.training.precision import prefer

import foolbox  # isort: skip
from foolbox.models.pytorch import PyTorchModel  # isort: skip
import torchattacks  # isort: skip

IMAGES, BATCH, STEPS, ROUNDS = 400, 200, 10, 2
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CASES: dict[str, tuple[str, Ball]] = {  # public network and ball, where some images fall and some stand
    "ResNet-20, Linf 0.5/255": ("cifar10_resnet20", Linf(0.5)),
    "ResNet-20, L2 0.1": ("cifar10_resnet20", L2(25.5)),
    "ResNet-4b, robust, Linf 4/255": ("cifar10_resnet4b_adv", Linf(4.0)),
    "ResNet-4b, robust, L2 0.5": ("cifar10_resnet4b_adv", L2(127.5)),
}
Run = Callable[[Tensor, Tensor], Tensor]


class Unit(nn.Module):
    """A network that takes pixels of 0..1, as torchattacks does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (B, classes)."""
        y: Tensor = self.model(255 * x)
        return y


def contestants(model: nn.Module, ball: Ball) -> dict[str, Run]:
    """Return the attacks by name: functions of pixels 0..255 and classes."""
    step = 2.5 * ball.eps / STEPS
    ours = ProjectedGradient(ball, step, STEPS, random_start=False)
    leaving = ProjectedGradient(ball, step, STEPS, random_start=False, stop=True)
    fools, scaled = PyTorchModel(model, (0, 255), device=DEVICE), Unit(model).eval()
    linf = isinstance(ball, Linf)
    fool = (foolbox.attacks.LinfPGD if linf else foolbox.attacks.L2PGD)(
        abs_stepsize=step, steps=STEPS, random_start=False
    )
    other = (torchattacks.PGD if linf else torchattacks.PGDL2)(
        scaled, ball.eps / 255, step / 255, STEPS, random_start=False
    )
    return {
        "labkit, stop": lambda x, y: leaving(model, x, y),
        "labkit": lambda x, y: ours(model, x, y),
        "foolbox": lambda x, y: fool.run(fools, x, y, epsilon=ball.eps),
        "torchattacks": lambda x, y: 255 * other(x / 255, y),
    }


def attacked(run: Run, images: Images) -> tuple[Tensor, float]:
    """Return the attacked images and the seconds it took, of the processor where there is no GPU."""
    started = spent()
    parts = [run(x.float(), y) for x, y in zip(images.x.split(BATCH), images.y.split(BATCH), strict=True)]
    found = torch.cat(parts)
    found.sum().item()  # wait for the device
    return found, spent() - started


def main() -> None:
    """Run all rounds of all cases, print and write the result."""
    best = fastest(DEVICE)
    prefer(best)
    images, result = load("cifar10", "test").first(IMAGES).to(DEVICE), {}
    for case, (name, ball) in CASES.items():
        model = pretrained(name).to(DEVICE)
        runs = contestants(model, ball)
        speeds: dict[str, list[float]] = {who: [] for who in runs}
        right: dict[str, float] = {}
        for _ in tqdm(range(ROUNDS + 1), case):
            for who, run in runs.items():
                found, seconds = attacked(run, images)
                speeds[who].append(len(images) / seconds)
                with torch.no_grad():
                    seen = torch.cat([model(x).argmax(1) for x in found.split(BATCH)])
                right[who] = (seen == images.y).double().mean().item()
        medians = {who: statistics.median(values[1:]) for who, values in speeds.items()}
        peer = max(medians["foolbox"], medians["torchattacks"])
        result[case] = {"images per second": speeds, "robust accuracy": right}
        print(case, flush=True)
        for who, speed in medians.items():
            print(f"  {who:14} {speed:8.1f} images/s  {speed / peer:5.2f} x   robust {right[who]:.3f}")
    content = {
        "precision": best.name,
        "cases": result,
    }
    keep("attacks", DEVICE, content)


if __name__ == "__main__":
    main()

"""What a lab hands out is reached by an experiment that never names it."""

from __future__ import annotations

from labkit.lab.provenance import NOT_COMPUTING, _always
from labkit.source.files import snapshot
from labkit.source.reached import Cell, Reach


def reached(source: str) -> set[str]:
    cells = [Cell(source, True)]
    return set(Reach(cells, "laptop", dict(snapshot()).get, NOT_COMPUTING, _always(cells)).hashes())


def test_the_architecture_of_a_pretrained_network_counts() -> None:
    assert "models.resnet.PaddedResNet" in reached("model = lab.pretrained('cifar10_resnet20')")
    assert "models.resnet.PaddedResNet" not in reached("model = lab.images('cifar10')")

"""The networks that public weights belong to, and where the weights go in ours.

Where they come from, and on what terms, says `labkit.data.weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from labkit.models.apot import ApotResNet
from labkit.models.densenet import DenseNet
from labkit.models.outlier_exposure import OutlierExposureNet
from labkit.models.resnet import cifar_resnet, resnet20
from labkit.models.tiny import ResNet8
from labkit.models.verification import CnnA, OvalDeep, ResNet4b

Names = Mapping[str, str]


@dataclass(frozen=True)
class Network:
    """A network whose weights can be had.

    Attributes:
        build: makes the network, untrained.
        mean, std: what its training subtracted from pixels of 0..255 and divided them by, one a channel.
        digest: `labkit.models.pretrained.digest` of its weights.
        heads: what the names of its layers begin with in the published file, and with us.
        parts: what else in them has another name with us.
    """

    build: Callable[[], nn.Module]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    heads: Names = field(default_factory=dict)
    parts: Names = field(default_factory=dict)


def _pixels(*values: float) -> tuple[float, ...]:
    """Return shares of the pixels' range in pixels."""
    return tuple(255 * value for value in values)


def _resnet(blocks: int) -> Names:
    """Return where the layers of a ResNet, as its authors name them, stand in ours."""
    stages = {
        f"layer{stage + 1}.{block}": str(3 + stage * blocks + block)
        for stage in range(3)
        for block in range(blocks)
    }
    last = str(3 + 3 * blocks + 2)
    return {"conv1": "0", "bn1": "1", **stages, "linear": last, "fc": last}


def _numbered(kind: str, *layers: str) -> Names:
    """Return where the layers stand that Keras calls `kind`, `kind`_1, `kind`_2, ..."""
    return {f"{kind}_{i}" if i else kind: layer for i, layer in enumerate(layers)}


IMAGENET = (_pixels(0.485, 0.456, 0.406), _pixels(0.229, 0.224, 0.225))
IMAGENET_ONE_STD = (_pixels(0.485, 0.456, 0.406), _pixels(0.225, 0.225, 0.225))
CIFAR = (_pixels(0.4914, 0.4822, 0.4465), _pixels(0.2471, 0.2435, 0.2616))
CIFAR_ODIN = ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
CIFAR_APOT = (_pixels(0.491, 0.482, 0.447), _pixels(0.247, 0.243, 0.262))
GREY = ((0.0,), (255.0,))
RAW = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

APOT_PARTS = {"downsample": "shortcut", "weight_quant.wgt_alpha": "weight_alpha"}
OUTLIER_EXPOSURE_HEADS = {"conv1": "0", "conv2": "3", "fc1": "7", "fc2": "9"}
RESNET4B_HEADS = {"conv1": "0", "linear1": "7", "linear2": "9"} | {
    f"layer{i // 2 + 1}.{i % 2}": str(2 + i) for i in range(4)
}
# fmt: off
KERAS_HEADS = {
    **_numbered(
        "conv2d",
        "0", "3.conv1", "3.conv2", "4.conv1", "4.conv2", "4.shortcut", "5.conv1", "5.conv2", "5.shortcut",
    ),
    **_numbered("batch_normalization", "1", "3.bn1", "3.bn2", "4.bn1", "4.bn2", "5.bn1", "5.bn2"),
    "dense": "8",
}
# fmt: on
KERAS_PARTS = {
    ".kernel": ".weight",
    ".gamma": ".weight",
    ".beta": ".bias",
    ".moving_mean": ".running_mean",
    ".moving_variance": ".running_var",
}

NETWORKS: Mapping[str, Network] = {
    "cifar10_resnet20": Network(
        partial(cifar_resnet, 20),
        *IMAGENET,
        "de6272aa23b73b6a398e854340a878d9f3af343dae25f62e30afe5eeb71325ba",
        _resnet(3),
    ),
    "cifar10_resnet32": Network(
        partial(cifar_resnet, 32),
        *IMAGENET,
        "dd72147fc0c6f2a7551d95ada070e7c73b582bcb0b9c7acdf74e488450e406ea",
        _resnet(5),
    ),
    "cifar10_resnet44": Network(
        partial(cifar_resnet, 44),
        *IMAGENET,
        "e1285c3c4c79db419fbfc7ce2d5f51fa891c4dd19468f963bdf8cf2de2193a74",
        _resnet(7),
    ),
    "cifar10_resnet56": Network(
        partial(cifar_resnet, 56),
        *IMAGENET,
        "6938a814d949e237c856074e0e132eaffba31ad84bb08b9123c13b830f34dbba",
        _resnet(9),
    ),
    "cifar10_densenet100_baseline": Network(
        DenseNet,
        *CIFAR_ODIN,
        "6b75f8c1634afd13a846eef13beac4529ff02fab1d089a4eadd592c128e45ba0",
        parts={".layer.": "."},
    ),
    "cifar10_densenet100_oecc": Network(
        DenseNet,
        *CIFAR_ODIN,
        "d070ca9dfbe6e1110079ab92475ed5531f7737daf41f693bde9bedd18f3c876f",
        parts={".layer.": "."},
    ),
    "cifar10_resnet20_apot_32bit": Network(
        resnet20,
        *CIFAR_APOT,
        "0eb05a38a4d030d654de2f25f251cecd10cd6395dafe0ef00009f3f1be8b85da",
        _resnet(3),
        APOT_PARTS,
    ),
    "cifar10_resnet20_apot_4bit": Network(
        partial(ApotResNet, 3, 4),
        *CIFAR_APOT,
        "21ce4be5b5ed914c1cc6ef7c7c7a62137c54bb454ba05157d853cd20a3b5e421",
        _resnet(3),
        APOT_PARTS,
    ),
    "cifar10_resnet20_apot_3bit": Network(
        partial(ApotResNet, 3, 3),
        *CIFAR_APOT,
        "b729f4ca36f5bfdf4afd71d1a73dca720400d297ef64d679c129fe140226b453",
        _resnet(3),
        APOT_PARTS,
    ),
    "cifar10_resnet20_apot_2bit": Network(
        partial(ApotResNet, 3, 2),
        *CIFAR_APOT,
        "14ed673dbb6ce8ac02d6ebb1aca15842e8f8ed82f6893f1034ed8ca1ac5d423d",
        _resnet(3),
        APOT_PARTS,
    ),
    "cifar10_resnet4b_adv": Network(
        ResNet4b,
        *CIFAR,
        "f102a11c28c422c4273d2f37869091d2787d8dd97843786a2ac9df4a280c8345",
        RESNET4B_HEADS,
        {"shortcut.0": "shortcut"},
    ),
    "cifar10_cnn_a_adv4": Network(
        CnnA, *CIFAR, "dfe6bfbf189e244135a1b4402380321f0a9d660fd487932b4d2ffad64ab9d9c4"
    ),
    "cifar10_wide_sgd": Network(
        CnnA, *IMAGENET_ONE_STD, "dda802b25f0b18b6a760bae390f547fea922482641d4e1ebbe49cc731a88bb05"
    ),
    "cifar10_wide_kw": Network(
        CnnA, *IMAGENET_ONE_STD, "b1229fecba624676a92af63d6d3b8f301b3284be74ed32a24f70589de4526345"
    ),
    "cifar10_deep_kw": Network(
        OvalDeep, *IMAGENET_ONE_STD, "ba791fb4a70dcc812217d51081acd80c21e4b55865c210c71bc8a6e85bdad45e"
    ),
    "mnist_kw": Network(
        partial(CnnA, 1, 28), *GREY, "92e77f052be284b068014e49064aea6eeecdbb4fd73554488649eb9e08fdee62"
    ),
    "mnist_cnn_a_adv": Network(
        partial(CnnA, 1, 28), *GREY, "99389bd4a654b57e4e19df2014bcae32a696bc97b4c68d449fe0cf6c5878e5f9"
    ),
    "mnist_oe_baseline": Network(
        OutlierExposureNet,
        *GREY,
        "9848c11e851df5ac82ddc048409fa1bf1c40b7cfa08c37002301f3ceaab1d1f8",
        OUTLIER_EXPOSURE_HEADS,
    ),
    "mnist_oe_tune": Network(
        OutlierExposureNet,
        *GREY,
        "3934f3c8a419f8454cf76a51df36fb970e5ec172679387b9910f96a1c115a8b3",
        OUTLIER_EXPOSURE_HEADS,
    ),
    "mnist_oe_scratch": Network(
        OutlierExposureNet,
        *GREY,
        "c7a8c46a86906c13c72c3a6b6f319f6c437dbdb7a74cd0d0180130949268e806",
        OUTLIER_EXPOSURE_HEADS,
    ),
    "cifar10_resnet8_mlperf_tiny": Network(
        ResNet8,
        *RAW,
        "2245d889e612df5d789a9bace9bf3e1be39133921c9a4c82308f525ae8fc6378",
        KERAS_HEADS,
        KERAS_PARTS,
    ),
}

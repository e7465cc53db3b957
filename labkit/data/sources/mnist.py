"""MNIST, and Fashion-MNIST, which Zalando Research published in the same layout."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labkit.data.embedded.registry import EMBEDDED
from labkit.data.sources.source import Arrays, PublishedFile, Source
from labkit.errors import LabkitError


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


# fmt: off
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)
# fmt: on

SETS = {
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
        stand_in=EMBEDDED["digits"],
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
        stand_in=EMBEDDED["digits"],
    ),
}

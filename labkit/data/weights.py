"""Public weights: where they come from, on what terms, and how accurate they are.

A file is trusted for its checksum alone. Weights for which no licence is stated are not downloaded: whoever
wants to use them decides that, gets them from the address, and hands us the file (`fetch_weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from torch import Tensor

from labkit.data.published_weights import keras, state_dict
from labkit.data.sources.source import PublishedFile

SERVER = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Publisher:
    """A repository on GitHub at one commit, and its licence; "" where it states none."""

    repository: str
    commit: str
    licence: str


@dataclass(frozen=True)
class Work:
    """A publication: its key in `book/references.bib`, and authors: title, where, year."""

    key: str
    text: str


@dataclass(frozen=True)
class Weights:
    """The weights of one network.

    Attributes:
        publisher: whose they are.
        path: of their file in that repository.
        sha256, size: of that file, size in bytes.
        description: architecture and training.
        works: what to cite.
        measured: share of the test images of its data set that it gets right, in %, as we measure it.
        published: the same as its authors state it, and where in the repository; "" where we know of no such
            statement.
        read: from that file, already checked, to tensors by name; None for a pickled module, which cannot be
            opened without running what is in it.
    """

    publisher: Publisher
    path: str
    sha256: str
    size: int
    description: str
    works: tuple[Work, ...]
    measured: float
    published: str = ""
    read: Callable[[Path], dict[str, Tensor]] | None = state_dict

    @property
    def file(self) -> PublishedFile:
        """The file, under its own name."""
        return PublishedFile(PurePosixPath(self.path).name, self.sha256, self.size)

    @property
    def folder(self) -> str:
        """Address of the folder that holds it."""
        parent = quote(str(PurePosixPath(self.path).parent))
        return f"{SERVER}/{self.publisher.repository}/{self.publisher.commit}/{parent}"

    @property
    def address(self) -> str:
        """Address of the file."""
        return f"{self.folder}/{quote(self.file.name)}"

    @property
    def citation(self) -> str:
        """What to cite, in words."""
        return "; ".join(work.text for work in self.works)

    @property
    def licence(self) -> str:
        """Terms as stated."""
        return self.publisher.licence or "none stated"


IDELBAYEV = Publisher(
    "akamaster/pytorch_resnet_cifar10", "d5489e8995e81e91ce6b1d69dcc98ad579b0b153", "BSD-2-Clause"
)
PAPADOPOULOS = Publisher("nazim1021/OOD-detection-using-OECC", "8c72c42d61b11054625da2513e6222ea2308ba3b", "")
APOT = Publisher("yhhhli/APoT_Quantization", "13204f12ef84d98f3b24188201f2538c62c2eec8", "")
CROWN = Publisher(
    "Verified-Intelligence/alpha-beta-CROWN", "8250d5fbd530c76e5e3243db28b3cad5fbaef740", "BSD-3-Clause"
)
OVAL = Publisher("oval-group/oval-bab", "a317464598feb8debd88969e6d7237f9b7d3d21c", "MIT")
WONG = Publisher("locuslab/convex_adversarial", "2cd8149249b9e90383af10fc7e9b9fe90166813e", "MIT")
HENDRYCKS = Publisher("hendrycks/outlier-exposure", "e6ede98a5474a0620d9befa50b38eaf584df4401", "Apache-2.0")
MLCOMMONS = Publisher("mlcommons/tiny", "1afd2c9820f795965a6134facd0b4dfae41ef23f", "Apache-2.0")

RESNET = Work(
    "he2016deep",
    "He et al.: Deep residual learning for image recognition, CVPR, 2016",
)
PROPER = Work(
    "idelbayev2018proper",
    "Idelbayev: Proper ResNet implementation for CIFAR10/CIFAR100 in PyTorch, GitHub, 2018",
)
DENSENET = Work(
    "huang2017densely",
    "Huang et al.: Densely connected convolutional networks, CVPR, 2017",
)
CONFIDENCE_CONTROL = Work(
    "papadopoulos2021outlier",
    "Papadopoulos et al.: Outlier exposure with confidence control for out-of-distribution "
    "detection, Neurocomputing, 2021",
)
ADDITIVE_POWERS = Work(
    "li2020additive",
    "Li, Dong, Wang: Additive powers-of-two quantization: an efficient non-uniform discretization "
    "for neural networks, ICLR, 2020",
)
VNN_COMP = Work(
    "bak2021second",
    "Bak, Liu, Johnson: The second international verification of neural networks competition "
    "(VNN-COMP 2021): summary and results, arXiv 2109.00498, 2021",
)
SEMIDEFINITE = Work(
    "dathathri2020enabling",
    "Dathathri et al.: Enabling certification of verification-agnostic networks via "
    "memory-efficient semidefinite programming, NeurIPS, 2020",
)
DUALITY = Work(
    "wong2018provable",
    "Wong, Kolter: Provable defenses against adversarial examples via the convex outer "
    "adversarial polytope, ICML, 2018",
)
BRANCHING = Work(
    "lu2020neural",
    "Lu, Kumar: Neural network branching for neural network verification, ICLR, 2020",
)
CONVEX_BARRIER = Work(
    "depalma2021scaling",
    "De Palma et al.: Scaling the convex barrier with sparse dual algorithms, arXiv 2101.05844, 2021",
)
OUTLIER_EXPOSURE = Work(
    "hendrycks2019deep",
    "Hendrycks, Mazeika, Dietterich: Deep anomaly detection with outlier exposure, ICLR, 2019",
)
MLPERF_TINY = Work(
    "banbury2021mlperf",
    "Banbury et al.: MLPerf Tiny benchmark, NeurIPS Datasets and Benchmarks, 2021",
)

WEIGHTS: Mapping[str, Weights] = {
    "cifar10_resnet20": Weights(
        IDELBAYEV,
        "pretrained_models/resnet20-12fca82f.th",
        "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        1_099_231,
        "ResNet-20, option-A shortcuts",
        (RESNET, PROPER),
        91.73,
        "91.73, README",
    ),
    "cifar10_resnet32": Weights(
        IDELBAYEV,
        "pretrained_models/resnet32-d509ac18.th",
        "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850",
        1_890_043,
        "ResNet-32, option-A shortcuts",
        (RESNET, PROPER),
        92.63,
        "92.63, README",
    ),
    "cifar10_resnet44": Weights(
        IDELBAYEV,
        "pretrained_models/resnet44-014dd654.th",
        "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4",
        2_680_855,
        "ResNet-44, option-A shortcuts",
        (RESNET, PROPER),
        93.11,
        "93.10, README",
    ),
    "cifar10_resnet56": Weights(
        IDELBAYEV,
        "pretrained_models/resnet56-4bfd9763.th",
        "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
        3_471_733,
        "ResNet-56, option-A shortcuts",
        (RESNET, PROPER),
        93.39,
        "93.39, README",
    ),
    "cifar10_densenet100_baseline": Weights(
        PAPADOPOULOS,
        "zeroshot_ood_experiments/pre_trained/densenet_cifar10.pth",
        "3211ffc3f6107d0605b5914d58fd352318b7af6464e99eb875b88e5c38fdcb31",
        3_287_731,
        "DenseNet-BC, 100 layers, growth 12",
        (DENSENET, CONFIDENCE_CONTROL),
        95.20,
        read=None,
    ),
    "cifar10_densenet100_oecc": Weights(
        PAPADOPOULOS,
        "zeroshot_ood_experiments/results/Zero_Shot/Zero_Shot_cifar10_densenet_OECC_tune_epoch_14.pth",
        "383ecd3ad8757b6c126d661eb3770a4bc58868fc7f07721ca4abc63513820fd4",
        3_286_030,
        "DenseNet-BC, 100 layers, growth 12, fine-tuned by outlier exposure with confidence control",
        (DENSENET, CONFIDENCE_CONTROL),
        93.71,
        "93.70, training log",
    ),
    "cifar10_resnet20_apot_32bit": Weights(
        APOT,
        "CIFAR10/result/res20_32bit/model_best.pth.tar",
        "f2d107bcd63ce2fcfb9b6f43f367dc80003e395b378111fedc7f9244fd90bfc6",
        2_223_675,
        "ResNet-20, option-B shortcuts, full precision",
        (ADDITIVE_POWERS,),
        92.96,
        "92.96, README",
    ),
    "cifar10_resnet20_apot_4bit": Weights(
        APOT,
        "CIFAR10/result/res20_4bit/model_best.pth.tar",
        "4db821849e375e3c31d12c6c03563e164ddd34f8da45e0d57bee87eb1d3b4303",
        2_239_515,
        "ResNet-20, option-B shortcuts, weights and activations on 4 bits: sums of powers of two",
        (ADDITIVE_POWERS,),
        92.47,
        "92.45, README",
    ),
    "cifar10_resnet20_apot_3bit": Weights(
        APOT,
        "CIFAR10/result/res20_3bit/model_best.pth.tar",
        "e7864989697c13ed8bfa304ca08bbe6ca3d759f71d4734fe3f3387f7d110a004",
        2_239_480,
        "ResNet-20, option-B shortcuts, weights and activations on 3 bits: sums of powers of two",
        (ADDITIVE_POWERS,),
        92.49,
        "92.49, README",
    ),
    "cifar10_resnet20_apot_2bit": Weights(
        APOT,
        "CIFAR10/result/res20_2bit/model_best.pth.tar",
        "d2dc978da7dc93cb6e90edc59035ac181921aef9d93598f884d325986a3e7cd2",
        2_239_499,
        "ResNet-20, option-B shortcuts, weights and activations on 2 bits: sums of powers of two",
        (ADDITIVE_POWERS,),
        90.99,
        "90.96, README",
    ),
    "cifar10_resnet4b_adv": Weights(
        CROWN,
        "complete_verifier/models/cifar10_resnet/resnet4b.pth",
        "6158f9668935890e832d4e0fdc3b6cece2386ec826319eac36f329490b7729e7",
        504_281,
        "ResNet-4B, no BatchNorm, trained against PGD",
        (VNN_COMP,),
        77.20,
        "77.20, in the file",
    ),
    "cifar10_cnn_a_adv4": Weights(
        CROWN,
        "complete_verifier/models/sdp/cifar_cnn_a_adv4.model",
        "f872a69536be3f0ab98397094bb7c3952d747b08321b81eafd00d9fab5eca0e7",
        862_519,
        "CNN-A, trained against PGD",
        (SEMIDEFINITE,),
        56.51,
    ),
    "cifar10_wide_sgd": Weights(
        OVAL,
        "models/cifar_sgd_8px.pth",
        "973ca9783105ba1ceb5f4244a8641ba3a510ffe5c10ad6f37687b9f196ff6c03",
        861_120,
        'CNN-A, called "wide", ordinary training',
        (CONVEX_BARRIER,),
        76.13,
        "76.10, in the file",
    ),
    "cifar10_wide_kw": Weights(
        OVAL,
        "models/cifar_wide_kw.pth",
        "1980beb15e180902fd48b50cd0ac24ac80d48f3ec166753d5773a7dc24d60a07",
        861_167,
        'CNN-A, called "wide", trained for a certificate by duality',
        (DUALITY, BRANCHING),
        61.61,
    ),
    "cifar10_deep_kw": Weights(
        OVAL,
        "models/cifar_deep_kw.pth",
        "1ddec19e8e7c8adf636a9349ccd06841d1dca68b9bea5ad278b6d908252dfb58",
        221_666,
        'Four convolutions of 8 channels, "deep", trained for a certificate by duality',
        (DUALITY, BRANCHING),
        55.31,
    ),
    "mnist_kw": Weights(
        WONG,
        "models/mnist.pth",
        "95014ab0c04c73f48b3be0cb7acc42aff60ce4420c6c43bec25e9a1447279e08",
        666_692,
        "CNN-A for MNIST, trained for a certificate by duality",
        (DUALITY,),
        98.20,
    ),
    "mnist_cnn_a_adv": Weights(
        CROWN,
        "complete_verifier/models/sdp/mnist_cnn_a_adv.model",
        "3a1dbfc656e45be2cf6e8ae709c43da0fa0f3b71762c8a0842df72868f2b3459",
        668_471,
        "CNN-A for MNIST, trained against PGD",
        (SEMIDEFINITE,),
        96.33,
    ),
    "mnist_oe_baseline": Weights(
        HENDRYCKS,
        "MNIST/snapshots/baseline/baseline_epoch_9.pt",
        "3184bed452c44c82935b96be23f5bf08d9dffec348b7222c01dc6088ebd46a4c",
        88_724,
        "Two convolutions, two linear layers, ordinary training",
        (OUTLIER_EXPOSURE,),
        99.06,
        "99.06, training log",
    ),
    "mnist_oe_tune": Weights(
        HENDRYCKS,
        "MNIST/snapshots/oe_tune/oe_tune_epoch_4.pt",
        "362ccfe3c829610791cc3ed8bbfe98fcc30bd6a9c582ea5fc08a5f8fb8531bb5",
        88_724,
        "Two convolutions, two linear layers, fine-tuned with outlier exposure",
        (OUTLIER_EXPOSURE,),
        99.08,
        "99.08, training log",
    ),
    "mnist_oe_scratch": Weights(
        HENDRYCKS,
        "MNIST/snapshots/oe_scratch/oe_scratch_epoch_9.pt",
        "635577055a9f10fd4a53c784a6bbf40f96fb51535eba65fedeea23d8d4296805",
        88_724,
        "Two convolutions, two linear layers, trained with outlier exposure",
        (OUTLIER_EXPOSURE,),
        98.97,
        "98.97, training log",
    ),
    "cifar10_resnet8_mlperf_tiny": Weights(
        MLCOMMONS,
        "benchmark/training/image_classification/trained_models/pretrainedResnet.h5",
        "5f938a8eea605438cc7360aa13c987bc6d7bd0c8d931b2917361ae7ae4eeda2f",
        1_116_712,
        "ResNet-8 of MLPerf Tiny",
        (MLPERF_TINY,),
        87.21,
        read=keras,
    ),
}

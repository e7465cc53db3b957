"""Sets that are used as images of no class: SVHN, Textures, Tiny ImageNet, and folders of pictures."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy.io import loadmat

from labkit.data.embedded.registry import EMBEDDED
from labkit.data.images import Images, fingerprint
from labkit.data.sources.source import Arrays, PublishedFile, Source
from labkit.errors import LabkitError

PICTURES = {".png", ".jpg", ".jpeg"}


def picture_folder(folder: Path, side: int = 32) -> Images:
    """Return all PNG and JPEG pictures in `folder` and the folders in it, in the order of their paths.

    That is the form in which ODIN's authors give LSUN and others. Pictures of another size are resized to
    `side` on the shorter edge and cropped in the middle. A folder in it is a class; without one there is a
    single class, the name of `folder`. Raises LabkitError where there are no pictures, or one is damaged.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise LabkitError(f"no pictures in {folder}; allowed: {', '.join(sorted(PICTURES))}")
    names = [path.parent.name for path in paths]
    classes = sorted(set(names))
    x = np.stack([_picture(path.read_bytes(), str(path), side) for path in paths])
    y = np.array([classes.index(name) for name in names], np.int64)
    return Images(
        folder.name,
        torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(y),
        tuple(classes),
        fingerprint(x, y),
    )


def _picture(content: bytes, name: str, side: int) -> NDArray[np.uint8]:
    """Return one picture as uint8 (side, side, 3)."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise LabkitError(f"{name} is no picture: {' '.join(str(error).split())[:100]}") from error
    width, height = picture.size
    if (width, height) != (side, side):
        scale = side / min(width, height)
        width, height = round(scale * width), round(scale * height)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    return np.asarray(picture)


def _svhn(files: list[Path]) -> Arrays:
    """Arrays in `train_32x32.mat` and `test_32x32.mat`: X (32, 32, 3, N), y (N, 1), the digit 0 being 10."""
    arrays: Arrays = {}
    for split, file in zip(("train", "test"), files, strict=True):
        content = loadmat(file)
        arrays[f"{split}_images"] = np.ascontiguousarray(content["X"].transpose(3, 0, 1, 2))
        arrays[f"{split}_labels"] = content["y"].ravel().astype(np.int64) % 10
    return arrays


def _textures(files: list[Path]) -> Arrays:
    """All pictures in `dtd-r1.0.1.tar.gz`, `dtd/images/<class>/<name>.jpg`, in the order of their paths."""
    with tarfile.open(files[0]) as archive:
        found = {
            path.name: file.read()
            for path in archive
            if path.name.startswith("dtd/images/")
            and Path(path.name).suffix.lower() in PICTURES
            and (file := archive.extractfile(path))
        }
    return _test_only(found, [Path(name).parent.name for name in sorted(found)], TEXTURES, 32)


def _tiny_imagenet(files: list[Path]) -> Arrays:
    """The validation images in `tiny-imagenet-200.zip`, in the order of `val_annotations.txt`."""
    root = "tiny-imagenet-200/val"
    with zipfile.ZipFile(files[0]) as archive:
        lines = archive.read(f"{root}/val_annotations.txt").decode().splitlines()
        pairs = [line.split("\t")[:2] for line in lines]
        found = {name: archive.read(f"{root}/images/{name}") for name, _ in pairs}
    return _test_only(found, [label for _, label in pairs], TINY_IMAGENET, 64, [name for name, _ in pairs])


def _test_only(
    found: dict[str, bytes],
    labels: Iterable[str],
    classes: tuple[str, ...],
    side: int,
    order: Iterable[str] | None = None,
) -> Arrays:
    pictures = [_picture(found[name], name, side) for name in order or sorted(found)]
    return {
        "test_images": np.stack(pictures),
        "test_labels": np.array([classes.index(label) for label in labels], np.int64),
    }


# fmt: off
TEXTURES = (
    "banded", "blotchy", "braided", "bubbly", "bumpy", "chequered", "cobwebbed", "cracked", "crosshatched",
    "crystalline", "dotted", "fibrous", "flecked", "freckled", "frilly", "gauzy", "grid", "grooved",
    "honeycombed", "interlaced", "knitted", "lacelike", "lined", "marbled", "matted", "meshed", "paisley",
    "perforated", "pitted", "pleated", "polka-dotted", "porous", "potholed", "scaly", "smeared", "spiralled",
    "sprinkled", "stained", "stratified", "striped", "studded", "swirly", "veined", "waffled", "woven",
    "wrinkled", "zigzagged",
)
TINY_IMAGENET = (
    "n01443537", "n01629819", "n01641577", "n01644900", "n01698640", "n01742172", "n01768244", "n01770393",
    "n01774384", "n01774750", "n01784675", "n01855672", "n01882714", "n01910747", "n01917289", "n01944390",
    "n01945685", "n01950731", "n01983481", "n01984695", "n02002724", "n02056570", "n02058221", "n02074367",
    "n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799", "n02123045", "n02123394",
    "n02124075", "n02125311", "n02129165", "n02132136", "n02165456", "n02190166", "n02206856", "n02226429",
    "n02231487", "n02233338", "n02236044", "n02268443", "n02279972", "n02281406", "n02321529", "n02364673",
    "n02395406", "n02403003", "n02410509", "n02415577", "n02423022", "n02437312", "n02480495", "n02481823",
    "n02486410", "n02504458", "n02509815", "n02666196", "n02669723", "n02699494", "n02730930", "n02769748",
    "n02788148", "n02791270", "n02793495", "n02795169", "n02802426", "n02808440", "n02814533", "n02814860",
    "n02815834", "n02823428", "n02837789", "n02841315", "n02843684", "n02883205", "n02892201", "n02906734",
    "n02909870", "n02917067", "n02927161", "n02948072", "n02950826", "n02963159", "n02977058", "n02988304",
    "n02999410", "n03014705", "n03026506", "n03042490", "n03085013", "n03089624", "n03100240", "n03126707",
    "n03160309", "n03179701", "n03201208", "n03250847", "n03255030", "n03355925", "n03388043", "n03393912",
    "n03400231", "n03404251", "n03424325", "n03444034", "n03447447", "n03544143", "n03584254", "n03599486",
    "n03617480", "n03637318", "n03649909", "n03662601", "n03670208", "n03706229", "n03733131", "n03763968",
    "n03770439", "n03796401", "n03804744", "n03814639", "n03837869", "n03838899", "n03854065", "n03891332",
    "n03902125", "n03930313", "n03937543", "n03970156", "n03976657", "n03977966", "n03980874", "n03983396",
    "n03992509", "n04008634", "n04023962", "n04067472", "n04070727", "n04074963", "n04099969", "n04118538",
    "n04133789", "n04146614", "n04149813", "n04179913", "n04251144", "n04254777", "n04259630", "n04265275",
    "n04275548", "n04285008", "n04311004", "n04328186", "n04356056", "n04366367", "n04371430", "n04376876",
    "n04398044", "n04399382", "n04417672", "n04456115", "n04465501", "n04486054", "n04487081", "n04501370",
    "n04507155", "n04532106", "n04532670", "n04540053", "n04560804", "n04562935", "n04596742", "n04597913",
    "n06596364", "n07579787", "n07583066", "n07614500", "n07615774", "n07695742", "n07711569", "n07715103",
    "n07720875", "n07734744", "n07747607", "n07749582", "n07753592", "n07768694", "n07871810", "n07873807",
    "n07875152", "n07920052", "n09193705", "n09246464", "n09256479", "n09332890", "n09428293", "n12267677",
)
# fmt: on

SETS = {
    "svhn": Source(
        description="99,289 house numbers from street photographs, 32x32, the digit in the middle",
        licence="non-commercial use",
        citation="Netzer et al.: Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
        also_cited=("Netzer et al. 2011",),
        classes=tuple("0123456789"),
        mirrors=(
            "http://ufldl.stanford.edu/housenumbers",  # the authors' page
            "https://ufldl.stanford.edu/housenumbers",
        ),
        files=(  # sha256 as in torchvision's prototype datasets
            PublishedFile(
                "train_32x32.mat",
                "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
                182_040_794,
            ),
            PublishedFile(
                "test_32x32.mat",
                "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
                64_275_384,
            ),
        ),
        read=_svhn,
        stand_in=EMBEDDED["digits"],
    ),
    "dtd": Source(
        description="5,640 photographs of 47 kinds of texture, resized and cropped to 32x32",
        licence="research purposes",
        citation="Cimpoi et al.: Describing Textures in the Wild, CVPR, 2014",
        also_cited=("Cimpoi et al. 2014",),
        classes=TEXTURES,
        mirrors=(
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download",  # the authors' page
            "https://thor.robots.ox.ac.uk/dtd",  # where it leads
        ),
        files=(
            PublishedFile(
                "dtd-r1.0.1.tar.gz",  # sha256 as in torchvision's prototype datasets
                "e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
                625_239_812,
            ),
        ),
        read=_textures,
        stand_in=EMBEDDED["glyphs100"],
    ),
    "tiny_imagenet_val": Source(
        description="10,000 validation photographs 64x64 of 200 kinds of thing",
        licence="ImageNet terms: research, non-commercial",
        citation="Le, Yang: Tiny ImageNet Visual Recognition Challenge, CS 231N, 2015",
        also_cited=("Tiny ImageNet validation images 0-4999, 64x64",),
        classes=TINY_IMAGENET,
        mirrors=(
            "http://cs231n.stanford.edu",  # the course's page
            "https://cs231n.stanford.edu",
        ),
        files=(
            PublishedFile(
                "tiny-imagenet-200.zip",
                "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
                248_100_043,
            ),
        ),
        read=_tiny_imagenet,
        stand_in=EMBEDDED["glyphs100"],
        copies={
            "36007a7ac724447e278425edde181deef41127994d0d240dc18e8e9cea119551": (
                "8217a18ab8bdc14ebc87ed253ab43a9dc98d831f3f7ea492c1c2364fbcfb05f2"
            ),
        },
    ),
}

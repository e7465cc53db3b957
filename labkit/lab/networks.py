"""Networks that a chapter takes and does not train: public ones, or at `smoke` a small one in their place."""

from __future__ import annotations

import torch

from labkit.data.embedded.registry import EmbeddedSet
from labkit.data.images import Images
from labkit.data.sources.registry import SOURCES
from labkit.data.weights import WEIGHTS
from labkit.errors import LabkitError
from labkit.models.networks import NETWORKS
from labkit.models.normalized import Normalized
from labkit.models.pretrained import pretrained
from labkit.models.resnet import resnet8
from labkit.paths import cache_folder
from labkit.training.recipe import Recipe
from labkit.training.zoo import zoo

# A few seconds on one thread, and far from chance.
RECIPE = Recipe(200, 0.1, batch=64)

Note = dict[str, str]


def public(name: str, device: torch.device) -> tuple[Normalized, Note]:
    """Return the pretrained network `name` on `device`, and what a record says of its weights.

    Raises LabkitError as `pretrained`.
    """
    model = pretrained(name).to(device)
    weights = WEIGHTS[name]
    return model, {
        "name": name,
        "source": weights.address,
        "licence": weights.licence,
        "fingerprint": NETWORKS[name].digest[:16],
    }


def small(name: str, device: torch.device) -> tuple[Normalized, Note]:
    """Return what stands in for the pretrained network `name`: ResNet-8, trained on the embedded set.

    That is the one that stands in for the data of `name`. It is trained once for all chapters on this
    machine, in seconds. Raises LabkitError for an unknown name.
    """
    embedded = trained_on(name)
    images = embedded.splits()[0].to(device)
    assert isinstance(images, Images)
    folder, shape = cache_folder() / "zoo", {"channels": images.x.shape[1], "classes": len(images.classes)}
    model = zoo(folder, resnet8, images, RECIPE, 0, **shape)
    return model, {
        "name": f"resnet8 in place of {name}",
        "source": f"trained on {images.name}",
        "licence": "MIT",
        "fingerprint": images.fingerprint,
    }


def trained_on(name: str) -> EmbeddedSet:
    """Return what stands in for the data set of the network `name`, with which its name begins."""
    if name not in NETWORKS:
        raise LabkitError(f'no pretrained network "{name}"; there are: {", ".join(NETWORKS)}')
    [source] = [source for set_name, source in SOURCES.items() if name.startswith(f"{set_name}_")]
    return source.stand_in

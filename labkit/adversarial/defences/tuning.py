"""A network with ordinary weights, made robust by adversarial training from there."""

from __future__ import annotations

import copy

from torch import Tensor

from labkit.adversarial.attack import adversarial_loss
from labkit.adversarial.white_box.projected import ProjectedGradient
from labkit.data.images import Images
from labkit.models.normalized import Normalized
from labkit.training.recipe import Recipe, train


def adversarially_tuned(
    model: Normalized, images: Images, recipe: Recipe, attack: ProjectedGradient
) -> dict[str, Tensor]:
    """Return the weights of `model` after adversarial training by `recipe` on `images`; `model` stays.

    Every batch is attacked first, by the network as it is at that moment (Madry et al. 2018). Starting from
    weights that see the images well already saves most of the steps.
    """
    tuned = copy.deepcopy(model)
    train(tuned, images, recipe, 0, loss=adversarial_loss(attack), title="adversarial training")
    return dict(tuned.state_dict())

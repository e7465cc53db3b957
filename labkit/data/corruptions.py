"""Corrupted copies of a set of images, made by the package imagecorruptions (Hendrycks and Dietterich 2019).

The package computes; this module makes it repeatable, and importable beside the current versions of what
it uses. Its strengths are those for ImageNet, so numbers differ from those on the set CIFAR-10-C.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import sys
import types
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from labkit.data.images import Images, fingerprint
from labkit.errors import LabkitError

# Kinds by family. Left out: glass_blur, gaussian_blur and fog stop with an error beside current versions of
# scikit-image and NumPy; impulse_noise draws from a generator that nobody can seed; frost reads a large
# photograph for each image; zoom_blur is slow as well.
FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise"),
    "blur": ("defocus_blur", "motion_blur"),
    "weather": ("snow", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
KINDS = tuple(kind for kinds in FAMILIES.values() for kind in kinds)
SEVERITIES = (1, 2, 3, 4, 5)


def corrupted(images: Images, kind: str, severity: int, seed: int = 0) -> Images:
    """Return `images`, 32x32 or larger with three channels, each corrupted by `kind` at `severity`, 1..5.

    The result depends on images, kind, severity and `seed` only, and NumPy's global generator, which the
    package draws from, is left as it was. Raises LabkitError for another kind or severity, or where the
    package does not load.
    """
    if kind not in KINDS:
        raise LabkitError(f"unknown corruption {kind!r}; allowed: {', '.join(KINDS)}")
    if severity not in SEVERITIES:
        raise LabkitError(f"severity {severity} of {kind}; allowed: {', '.join(map(str, SEVERITIES))}")
    corrupt = _corrupt()
    state = np.random.get_state()
    np.random.seed(zlib.crc32(f"{kind} {severity} {seed}".encode()))
    try:
        pixels = images.x.permute(0, 2, 3, 1).cpu().numpy()
        changed = np.stack([corrupt(image, corruption_name=kind, severity=severity) for image in pixels])
    finally:
        np.random.set_state(state)
    x = torch.from_numpy(changed.transpose(0, 3, 1, 2).copy()).to(images.x.device)
    name = f"{images.name} {kind} {severity}"
    return dataclasses.replace(images, name=name, x=x, fingerprint=fingerprint(changed))


@functools.cache
def _corrupt() -> Callable[..., Any]:
    """Return the package's function; raises LabkitError where it does not load.

    The package asks pkg_resources, which setuptools no longer has, for one thing: where its files lie.
    """
    stand_in = types.ModuleType("pkg_resources")
    stand_in.resource_filename = lambda package, name: str(  # type: ignore[attr-defined]
        importlib.resources.files(package.partition(".")[0]) / name
    )
    there = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        import imagecorruptions
    except ImportError as error:  # OpenCV, without the system's graphics library
        hint = "it needs opencv-python, and that libGL (Debian: apt-get install libgl1 libglib2.0-0)"
        raise LabkitError(f"imagecorruptions does not load: {error}; {hint}") from error
    finally:
        if there is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = there
    corrupt: Callable[..., Any] = imagecorruptions.corrupt
    return corrupt

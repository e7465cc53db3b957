"""torchvision, importable beside any build of torch: `from labkit.data.vision import torchvision`.

The package index has one torchvision wheel, built for CUDA. Beside a CPU-only torch its compiled box
operators do not load, and its import fails for want of two operator schemas. Nothing here uses those
operators, so we declare the schemas and import again; datasets, transforms and models then work.
"""

from __future__ import annotations

import sys

import torch

try:
    import torchvision
except RuntimeError:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["torchvision"]

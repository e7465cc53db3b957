"""Where results of benchmarks are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from labkit.lab.provenance import hardware, versions
from labkit.paths import write_atomically


def keep(name: str, device: torch.device, content: Mapping[str, Any]) -> None:
    """Write `content` to benchmarks/results/`name`.json, with the hardware of `device` and the versions.

    Versions that `content` names itself are added to those.
    """
    about = {"hardware": hardware(device), "versions": versions() | content.get("versions", {})}
    path = Path(__file__).parent / "results" / f"{name}.json"
    write_atomically(path, (json.dumps({**content, **about}, indent=1) + "\n").encode())

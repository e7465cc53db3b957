"""A run that computes something long, to be killed: `python killed_once.py`, in the folder of a book.

Prints `computes` where it computes and `goes on` behind that; at the end it writes the sha256 over all it
has, random numbers that were drawn later among them, to `end`, and closes its lab.
"""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labkit.lab.session import open_lab


def compute() -> dict[str, Any]:
    print("computes", flush=True)
    began = time.process_time()
    while time.process_time() - began < 0.3:
        pass
    noise = torch.randn(50)
    return {
        "noise": noise,
        "mean": noise.mean().item(),
        "parts": [np.random.random(), (random.random(), "text", None), torch.rand(3).bfloat16()],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    lab = open_lab("p00-trial", profile="laptop", seed=7)
    found = lab.once("Long, and no training", compute)
    print("goes on", flush=True)
    time.sleep(0.5)
    after = [torch.rand(5), torch.tensor([random.random(), np.random.random()], dtype=torch.float64)]
    hashed = hashlib.sha256(repr((found["mean"], found["parts"][:2])).encode())
    for tensor in (found["noise"], found["parts"][2], *after):
        hashed.update(f"{tensor.dtype}".encode())
        hashed.update(tensor.view(torch.uint8).numpy().tobytes())
    Path("end").write_text(hashed.hexdigest())
    lab.record("R1", [{"mean": found["mean"]}])
    lab.close()

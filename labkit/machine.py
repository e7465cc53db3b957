"""The machine this runs on, without its name or address, and what it is used for beside this process."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


_elsewhere = {"seconds": 0.0}


def spend(seconds: float) -> None:
    """Count `seconds` of processor time that another process has spent for this one."""
    _elsewhere["seconds"] += seconds


def spent_elsewhere() -> float:
    """Return the seconds of processor time that other processes have spent for this one so far."""
    return _elsewhere["seconds"]

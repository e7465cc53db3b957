"""A pytest plugin beside nbval: notes in the report which kernel ran a cell, and for how long it computed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

ASKED = {
    # Processor time, also of processes that have ended: wall time depends on what else the machine does.
    "seconds": "sum(__import__('os').times()[:4])",
    "numpy": "__import__('importlib.metadata').metadata.version('numpy')",
}


def ask(kernel: Any) -> dict[str, Any]:
    """Return what the kernel answers to `ASKED`; its history and variables stay as they are."""
    message = kernel.kc.execute("", silent=True, user_expressions=ASKED)
    while True:
        reply = kernel.kc.get_shell_msg(timeout=60)
        if reply["parent_header"].get("msg_id") == message:
            answers = reply["content"]["user_expressions"]
            return {name: answers[name]["data"]["text/plain"].strip("'") for name in ASKED}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Generator[None, Any, Any]:
    """Ask before and after the cell; where the kernel dies, nbval says so."""
    kernel = item.parent.kernel
    before = ask(kernel) if kernel.is_alive() else None
    try:
        return (yield)
    finally:
        if before and kernel.is_alive():
            seconds = float(ask(kernel)["seconds"]) - float(before["seconds"])
            name = item.config.option.nbval_kernel_name
            item.user_properties += [("seconds", seconds), ("kernel", name), ("numpy", before["numpy"])]

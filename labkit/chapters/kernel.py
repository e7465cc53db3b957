"""The kernel that executes notebooks: this very Python, with a say in where records go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class ThisPython(AsyncKernelManager):
    """Kernel manager whose ``python3`` is the Python that runs labkit.

    A user's own ``python3`` kernel may belong to another installation, without labkit or with another torch.
    """

    @default("kernel_spec_manager")
    def _no_installed_kernels(self) -> KernelSpecManager:
        # Where no folder is searched, jupyter_client falls back on ipykernel under sys.executable.
        return KernelSpecManager(kernel_dirs=[])

    @default("transport_encryption")
    def _encrypted_where_it_can_be(self) -> str:
        # Otherwise ipykernel warns about it in every run.
        return "auto"


@contextmanager
def records_go_to(results: Path | None) -> Iterator[None]:
    """Set `LABKIT_RESULTS` for kernels started inside; None removes it, so that no record is touched."""
    before = os.environ.pop("LABKIT_RESULTS", None)
    if results is not None:
        os.environ["LABKIT_RESULTS"] = str(results)
    try:
        yield
    finally:
        os.environ.pop("LABKIT_RESULTS", None)
        if before is not None:
            os.environ["LABKIT_RESULTS"] = before

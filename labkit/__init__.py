"""The code behind the lab book: every chapter's experiment runs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.lab.session import open_lab as open_lab

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy, so that `labkit --help` and the data rooms do not pay for the lab's imports.
    if name == "open_lab":
        from labkit.lab.session import open_lab

        return open_lab
    raise AttributeError(f"module 'labkit' has no attribute {name!r}")

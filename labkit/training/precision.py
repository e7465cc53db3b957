"""Number format and memory layout of training: channels-last, and bfloat16 where that was found faster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError

Switch = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Precision:
    """What a training computes in: the autocast type of one device (float32: no autocast)."""

    device: torch.device
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """`float32` or `bfloat16`, as records name it."""
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which to compute the loss; weights and their updates stay float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def place(self, model: nn.Module) -> nn.Module:
        """Lay the weights of `model` out channels-last, in place."""
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def layout(self, x: Tensor) -> Tensor:
        """Return `x` channels-last where it is a batch of images, (B, C, H, W)."""
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


# What `auto` means on each kind of device in this process; float32 where nothing was said.
_PREFERRED: dict[str, torch.dtype] = {}


def prefer(precision: Precision) -> None:
    """Let `auto` mean this precision on its kind of device from now on, in this process."""
    _PREFERRED[precision.device.type] = precision.dtype


def choose(device: torch.device | str, switch: Switch = "auto") -> Precision:
    """Return the precision for `device`; `auto` is what was preferred, float32 where nothing was.

    Raises LabkitError for an unknown switch.
    """
    device = torch.device(device)
    if switch not in get_args(Switch):
        raise LabkitError(f"unknown precision {switch!r}; allowed: {', '.join(get_args(Switch))}")
    if switch == "auto":
        return Precision(device, _PREFERRED.get(device.type, torch.float32))
    return Precision(device, torch.bfloat16 if switch == "bfloat16" else torch.float32)

"""Number format and memory layout of training: channels-last, and bfloat16 where that is faster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

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


# What `auto` means on a kind of device in this process, once somebody has measured (`fastest`).
_PREFERRED: dict[str, torch.dtype] = {}


def prefer(precision: Precision) -> None:
    """Let `auto` mean this precision on its kind of device from now on, in this process."""
    _PREFERRED[precision.device.type] = precision.dtype


def choose(device: torch.device | str, switch: Switch = "auto") -> Precision:
    """Return the precision for `device`; `auto` is what was preferred, else bfloat16 where units have it.

    Raises LabkitError for an unknown switch.
    """
    device = torch.device(device)
    if switch not in ("auto", "float32", "bfloat16"):
        raise LabkitError(f"unknown precision {switch!r}; allowed: auto, float32, bfloat16")
    if switch == "auto" and device.type in _PREFERRED:
        return Precision(device, _PREFERRED[device.type])
    fast = switch == "bfloat16" or (switch == "auto" and _has_bfloat16_matrix_unit(device))
    return Precision(device, torch.bfloat16 if fast else torch.float32)


def _has_bfloat16_matrix_unit(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # AVX512-BF16 alone emulates most of a convolution and is often slower than float32; AMX is not.
        return bool(torch.cpu._is_amx_tile_supported())
    return False

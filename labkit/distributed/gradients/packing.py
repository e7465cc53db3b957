"""Small integers in as few bits as they need: what is put on the wire."""

from __future__ import annotations

import torch
from torch import Tensor


def width(values: int) -> int:
    """Return how many bits a code takes of which there are `values` different ones."""
    return max(1, (values - 1).bit_length())


def pack(codes: Tensor, bits: int) -> Tensor:
    """Return `codes`, integers in 0..2**bits - 1, (..., N), as bytes, uint8 (..., bits * N / 8).

    Bit planes, the lowest first; the first code is the lowest bit of a byte. N is a multiple of 8.
    """
    planes = (codes.unsqueeze(-2) >> _upto(bits, codes).unsqueeze(1)) & 1
    eights = planes.to(torch.uint8).unflatten(-1, (-1, 8)) << _upto(8, codes).to(torch.uint8)
    packed: Tensor = eights.sum(-1, dtype=torch.uint8).flatten(-2)
    return packed


def unpack(packed: Tensor, bits: int) -> Tensor:
    """Return the codes, int32 (..., N), of which `pack` made `packed`."""
    planes = (packed.unflatten(-1, (bits, -1)).unsqueeze(-1) >> _upto(8, packed).to(torch.uint8)) & 1
    places = _upto(bits, packed).int().unsqueeze(1)
    codes: Tensor = (planes.flatten(-2).int() << places).sum(-2, dtype=torch.int32)
    return codes


def _upto(n: int, like: Tensor) -> Tensor:
    return torch.arange(n, device=like.device)

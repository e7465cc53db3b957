"""Quantised networks as files: a bit for each weight and living entry of its basis; bases as float32."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from labkit.compress.lq.layers import LQConv2d, quantized_layers
from labkit.compress.lq.quantizer import decode
from labkit.errors import LabkitError


@dataclass(frozen=True)
class Packed:
    """A file of so many quantised `weights`: bytes of their `bits`, `bases`, all `others`, the `file`."""

    weights: int
    bits: int
    bases: int
    others: int
    file: int

    @property
    def average_bits(self) -> float:
        """Bits a quantised weight, without its basis."""
        return 8 * self.bits / self.weights

    @property
    def average_bits_with_bases(self) -> float:
        """Bits a quantised weight and its share of the bases, which are float32."""
        return 8 * (self.bits + self.bases) / self.weights


def pack(codes: Tensor, alive: Tensor) -> Tensor:
    """Return the codes (G, N) as bytes: of each group the N bits of each entry that is `alive`, (G, K)."""
    planes = codes.unsqueeze(1) >> torch.arange(alive.shape[1], device=codes.device).view(1, -1, 1) & 1
    return torch.from_numpy(np.packbits(planes[alive].bool().cpu().numpy()))


def unpack(packed: Tensor, alive: Tensor, count: int) -> Tensor:
    """Return the codes (G, `count`) int64 that were packed; bits of entries not `alive` are zero.

    Raises LabkitError where there are not as many bytes as these codes have.
    """
    wanted = int(alive.sum()) * count
    if len(packed) != -(-wanted // 8):
        raise LabkitError(f"{len(packed)} bytes are not the {wanted} bits of these codes")
    flat = np.unpackbits(packed.numpy(), count=wanted)
    groups, bits = alive.shape
    planes = torch.zeros(groups, bits, count, dtype=torch.int64)
    planes[alive] = torch.from_numpy(flat.astype(np.int64)).view(-1, count)
    return (planes << torch.arange(bits).view(1, -1, 1)).sum(1)


def to_bytes(model: nn.Module) -> bytes:
    """Return the network as the content of a file (safetensors), the weights of its quantised layers as bits.

    All else, such as BatchNorm and the layers that are not quantised, is kept as it is.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    for name, layer in _layers(model).items():
        alive = layer.weights.alive.cpu()
        del tensors[f"{name}.weight"]
        tensors[f"{name}.weights.bits"] = pack(layer.weights.codes(layer.weight).cpu(), alive)
        tensors[f"{name}.weights.alive"] = torch.from_numpy(np.packbits(alive.numpy()))
        tensors[f"{name}.weights.basis"] = layer.weights.basis.cpu()[alive]
    return safetensors.torch.save(tensors)


def from_bytes(content: bytes, like: nn.Module) -> nn.Module:
    """Return a copy of `like`, a network quantised to as many bits, with what `to_bytes` made `content` of.

    Its weights are the levels themselves. Raises LabkitError where that was another network, or no network.
    """
    model, tensors = copy.deepcopy(like), _tensors(content)
    for name, layer in _layers(model).items():
        shape, quantizer = layer.weight.shape, layer.weights
        alive = _bits(tensors.pop(f"{name}.weights.alive", None), quantizer.alive.numel())
        alive = alive.view(quantizer.alive.shape)
        basis = torch.zeros(alive.shape)
        basis[alive] = tensors[f"{name}.weights.basis"]
        codes = unpack(tensors.pop(f"{name}.weights.bits"), alive, layer.weight[0].numel())
        tensors[f"{name}.weight"] = decode(codes, basis, quantizer.book.cpu()).view(shape)
        tensors[f"{name}.weights.alive"], tensors[f"{name}.weights.basis"] = alive, basis
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise LabkitError(f"this is another network: {' '.join(str(error).split())}") from error
    return model


def packed_size(content: bytes, model: nn.Module) -> Packed:
    """Return how many bytes of `content`, made of `model`, are for what."""
    tensors = _tensors(content)

    def held(*ends: str) -> int:
        return sum(tensor.nbytes for name, tensor in tensors.items() if name.endswith(ends))

    bits, bases = held(".weights.bits"), held(".weights.basis", ".weights.alive")
    weights = sum(layer.weight.numel() for layer in quantized_layers(model))
    return Packed(weights, bits, bases, held("") - bits - bases, len(content))


def _layers(model: nn.Module) -> dict[str, LQConv2d]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LQConv2d)}


def _tensors(content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise LabkitError(f"these bytes are no packed network: {error}") from error


def _bits(packed: Tensor | None, count: int) -> Tensor:
    if packed is None or len(packed) != -(-count // 8):
        raise LabkitError("this is another network: its bases have other sizes")
    return torch.from_numpy(np.unpackbits(packed.numpy(), count=count).astype(bool))

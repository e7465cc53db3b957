"""Layers that train through a learned quantiser: straight gradients, and a basis that runs along."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.compress.lq.quantizer import (
    Fit,
    codebook,
    decode,
    encode,
    least_squares,
    levels,
    qem,
    start,
    thresholds,
)
from labkit.compress.lq.sparse import sparse, sparse_step
from labkit.errors import LabkitError
from labkit.models.parts import evaluating

MOMENTUM = 0.9  # of the running basis, as in the authors' code
ROUNDS = 30  # of QEM before training
SAMPLE = 2**16  # values of a batch that the basis of activations is fitted to


class WeightQuantizer(nn.Module):
    """Puts weights (C_out, ...) on 2^bits levels, those of each output filter on its own.

    `bits` may name those of each filter; one with fewer than the most has zeros in its basis. In training
    mode the basis moves, after the step's weights were made with the old one, to 0.9 of it and 0.1 of what
    `fit` returns; in eval mode it stands still. The gradient passes straight. With a `strength` above zero
    entries of the basis become zero (`sparse_step`), until it has settled already here; `alive` says which
    have not, and a zero stays one.
    """

    basis: Tensor
    alive: Tensor
    book: Tensor

    def __init__(
        self, weight: Tensor, bits: int | Sequence[int], *, fit: Fit = least_squares, strength: float = 0.0
    ) -> None:
        super().__init__()
        self.fit, self.strength = fit, strength
        x = weight.detach().flatten(1).float()
        each = torch.as_tensor(bits, device=x.device).expand(len(x))
        most = int(each.max())
        self.register_buffer("basis", x.new_zeros(len(x), most))
        self.register_buffer("alive", torch.arange(most, device=x.device) < each.unsqueeze(1))
        self.register_buffer("book", codebook(most, signed=True).to(x.device), persistent=False)
        for many in each.unique().tolist():
            rows, book = each == many, codebook(many, signed=True).to(x.device)
            first = start(x[rows].square().mean(1).sqrt(), many, signed=True)
            self.basis[rows, :many] = qem(x[rows], first, book, ROUNDS, fit)
        if strength:
            self.basis, self.alive = sparse(x, self.basis, self.book, self.alive, strength, ROUNDS)

    def codes(self, weight: Tensor) -> Tensor:
        """Return the codes of `weight`, (C_out, N)."""
        return encode(weight.detach().flatten(1).float(), self.basis, self.book)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the quantised weights, of the shape of `weight`."""
        x = weight.detach().flatten(1).float()
        codes = encode(x, self.basis, self.book)
        rounded = decode(codes, self.basis, self.book).view_as(weight)
        if self.training:
            self._follow(x, codes)
        return rounded + (weight - weight.detach())

    @torch.no_grad()
    def _follow(self, x: Tensor, codes: Tensor) -> None:
        if self.strength or not self.alive.all():
            fitted, alive = sparse_step(x, codes, self.basis, self.book, self.alive, self.strength)
            self.alive.copy_(alive)
        else:
            fitted = self.fit(x, codes, self.basis, self.book)
        # not `lerp_`: a zero must be one exactly
        self.basis.copy_((MOMENTUM * self.basis + (1 - MOMENTUM) * fitted) * self.alive)

    def extra_repr(self) -> str:
        """Return what a printed network says of it."""
        return f"bits={self.basis.shape[1]}, filters={self.basis.shape[0]}, fit={self.fit.__name__}"


class _Staircase(torch.autograd.Function):
    """Each value at its nearest level; the gradient is 1 up to the largest level and 0 above.

    A comparison for each threshold: for millions of values that is faster than looking each of them up.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, ascending: Tensor, middles: Tensor) -> Tensor:
        ctx.save_for_backward(x <= ascending[-1])
        steps = ascending.to(x.dtype)
        quantized = torch.where(x > middles[0], steps[1], steps[0])
        for level, middle in zip(steps[2:], middles[1:], strict=True):
            quantized = torch.where(x > middle, level, quantized)
        return quantized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        [inside] = ctx.saved_tensors
        return gradients[0] * inside, None, None


def sample(x: Tensor) -> Tensor:
    """Return at most `SAMPLE` values of `x`, evenly spread, (1, N) float32."""
    flat = x.detach().flatten()
    every = -(-len(flat) // SAMPLE) | 1  # odd, or it would see the same columns of every picture
    return flat[::every].float().unsqueeze(0)


class ActivationQuantizer(nn.Module):
    """Puts activations, none of them negative, on 2^bits levels that a whole layer shares; the least is zero.

    The basis runs along as that of weights does. The gradient is that of min(x, largest level).
    """

    basis: Tensor
    book: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.register_buffer("basis", start(torch.ones(1), bits, signed=False))
        self.register_buffer("book", codebook(bits, signed=False), persistent=False)

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x`, of its shape."""
        return encode(x.detach().float().reshape(1, -1), self.basis, self.book).view(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return the quantised activations, of the shape and type of `x`."""
        ascending = levels(self.basis, self.book).sort(dim=1).values
        quantized: Tensor = _Staircase.apply(x, ascending[0], thresholds(ascending)[0])  # type: ignore[no-untyped-call]
        if self.training:
            with torch.no_grad():
                values = sample(x)
                codes = encode(values, self.basis, self.book)
                fitted = least_squares(values, codes, self.basis, self.book)
                self.basis.copy_(MOMENTUM * self.basis + (1 - MOMENTUM) * fitted)
        return quantized


class LQConv2d(nn.Conv2d):
    """A convolution without bias with quantised weights and, where `inputs` is a quantiser, inputs."""

    def __init__(self, conv: nn.Conv2d, weights: WeightQuantizer, inputs: ActivationQuantizer | None) -> None:
        if conv.bias is not None or conv.groups != 1 or not isinstance(conv.padding, tuple):
            raise LabkitError("only plain convolutions without bias are quantised, padded by a number")
        kernel: tuple[int, int] = (conv.kernel_size[0], conv.kernel_size[1])
        super().__init__(
            conv.in_channels, conv.out_channels, kernel, conv.stride[0], conv.padding[0], bias=False
        )
        self.weight = nn.Parameter(conv.weight.detach().clone())
        self.weights = weights
        self.inputs: nn.Module = nn.Identity() if inputs is None else inputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of quantised inputs with quantised weights, (B, C_out, H', W')."""
        return F.conv2d(self.inputs(x), self.weights(self.weight), None, self.stride, self.padding)


def quantized_layers(model: nn.Module) -> list[LQConv2d]:
    """Return the quantised convolutions of `model`, in the order of its definition."""
    return [module for module in model.modules() if isinstance(module, LQConv2d)]


def quantize_network(
    model: nn.Module,
    weight_bits: int | Sequence[int | Sequence[int]],
    activation_bits: int | None = None,
    *,
    fit: Fit = least_squares,
    strength: float = 0.0,
) -> nn.Module:
    """Return a copy of `model` with all convolutions but the first quantised; linear layers are not, either.

    `weight_bits` may name the bits of each of those convolutions, or even of each of its filters. Activations
    stay as they are without `activation_bits`; give them a first basis by `calibrate`. Raises LabkitError
    where there is nothing to quantise, or the bits are of another number of layers.
    """
    model = copy.deepcopy(model)
    found = list(_places(model))[1:]
    bits = list(weight_bits) if isinstance(weight_bits, Sequence) else [weight_bits] * len(found)
    if not found or len(bits) != len(found):
        raise LabkitError(f"bits for {len(bits)} layers, and there are {len(found)} to quantise")
    for (parent, name, conv), many in zip(found, bits, strict=True):
        inputs = None if activation_bits is None else ActivationQuantizer(activation_bits)
        weights = WeightQuantizer(conv.weight, many, fit=fit, strength=strength)
        setattr(parent, name, LQConv2d(conv, weights, inputs).to(conv.weight.device))
    return model


def _places(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Conv2d]]:
    """Yield each convolution of `model` with the module that holds it, and its name there, in order."""
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            above, _, name = path.rpartition(".")
            yield model.get_submodule(above), name, module


@torch.no_grad()
def calibrate(model: nn.Module, x: Tensor) -> None:
    """Give the activation quantisers of `model` the basis that QEM finds for the batch `x`, in place.

    Each sees what the quantised layers before it make of the batch.
    """

    def fit(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, ActivationQuantizer)
        values = sample(inputs[0])
        scale = values.square().mean(1).sqrt().clamp_min(1e-6) * 2**0.5  # 1 for a rectified Gaussian
        first = start(scale, module.basis.shape[1], signed=False)
        module.basis.copy_(qem(values, first, module.book, ROUNDS))

    found = [module for module in model.modules() if isinstance(module, ActivationQuantizer)]
    hooks = [module.register_forward_pre_hook(fit) for module in found]
    try:
        with evaluating(model):
            model(x)
    finally:
        for hook in hooks:
            hook.remove()

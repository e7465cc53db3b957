"""Dynamic convolution: kernels mixed anew for every image (Chen et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.adaptive.decisions import decisions
from labkit.data.images import Images
from labkit.training.callbacks import Callback, Training


class Attention(nn.Module):
    """pi(x) = softmax(FC2(ReLU(FC1(mean over the picture))) / tau): the share of each kernel, summing to 1.

    FC1 has a quarter of the channels, and four units at least: the colours alone would leave none.
    """

    tau: Tensor

    def __init__(self, channels: int, kernels: int) -> None:
        super().__init__()
        hidden = max(4, channels // 4)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, kernels)
        nn.init.zeros_(self.excite.bias)
        self.register_buffer("tau", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the attention over kernels, (B, K), from a feature map (B, C, H, W)."""
        z = self.excite(F.relu(self.squeeze(x.mean((2, 3)))))
        return torch.softmax(z / self.tau, dim=1)


class DynamicConv2d(nn.Module):
    """A convolution of the form of `like` whose kernel is sum_k pi_k(x) W_k, one for every image.

    Each W_k is drawn by itself, Kaiming-normal on its own fan. The kernels are the rows of `weight`,
    (K, out * in * k * k). Convolutions with groups or dilation are not meant.
    """

    def __init__(self, like: nn.Conv2d, kernels: int) -> None:
        super().__init__()
        assert like.groups == 1
        assert like.dilation == (1, 1)
        assert isinstance(like.padding, tuple)
        self.shape = tuple(like.weight.shape)
        self.stride, self.padding = like.stride, like.padding
        drawn = [
            nn.init.kaiming_normal_(torch.empty(self.shape), nonlinearity="relu") for _ in range(kernels)
        ]
        self.weight = nn.Parameter(torch.stack(drawn).flatten(1))
        self.bias = nn.Parameter(torch.zeros(kernels, self.shape[0])) if like.bias is not None else None
        self.attention = Attention(like.in_channels, kernels)

    def kernels(self) -> Tensor:
        """Return the kernels W_k, (K, out, in, k, k)."""
        return self.weight.view(-1, *self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of each image with its own kernel, (B, out, H / stride, W / stride)."""
        pi = self.attention(x)
        b, (out, inputs, *size) = len(x), self.shape
        mixed = (pi @ self.weight).view(b * out, inputs, *size)
        # All images side by side as channels of one picture, each a group that sees its own kernel only.
        y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), mixed, None, self.stride, self.padding, groups=b)
        y = y.view(b, out, *y.shape[2:])
        return y if self.bias is None else y + (pi @ self.bias)[:, :, None, None]


def make_dynamic(model: nn.Module, kernels: int) -> dict[str, DynamicConv2d]:
    """Replace every convolution of `model`, in place, by a dynamic one; return these by name."""
    plain = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    layers = {}
    for name, conv in plain:
        parent, _, child = name.rpartition(".")
        layers[name] = DynamicConv2d(conv, kernels)
        setattr(model.get_submodule(parent), child, layers[name])
    return layers


class Annealing(Callback):
    """Lowers the temperature of all attentions linearly from `start` to 1 over the first `steps` steps."""

    def __init__(self, layers: dict[str, DynamicConv2d], start: float, steps: int) -> None:
        self.layers, self.start, self.steps = layers, start, steps

    def on_step_start(self, training: Training) -> None:
        """Set the temperature of the step."""
        left = max(0.0, 1 - training.step / max(1, self.steps))
        for layer in self.layers.values():
            layer.attention.tau.fill_(1 + (self.start - 1) * left)


class AttentionWatch(Callback):
    """Logs for each layer every `every` steps what the attention on `images` looks like.

    `entropy NAME` is the mean entropy over ln K, 1 for uniform attention; `spread NAME` is the standard
    deviation of pi_k over images, mean over k, 0 where all images get the same kernel.
    """

    def __init__(self, layers: Sequence[str], images: Images, every: int) -> None:
        self.layers, self.images, self.every = layers, images, every

    def on_step_end(self, training: Training) -> None:
        """Compute and log both when it is time."""
        if (training.step + 1) % self.every:
            return
        seen = decisions(training.model, Attention, self.images)
        for name in self.layers:
            entropy, spread = entropy_and_spread(seen[name])
            training.history.log(f"entropy {name}", training.step, entropy)
            training.history.log(f"spread {name}", training.step, spread)


def entropy_and_spread(attention: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean entropy over ln K, 0..1, and the spread over images of attention (N, K), K >= 2."""
    entropy = torch.special.entr(attention).sum(1).mean() / torch.tensor(attention.shape[1]).log()
    return entropy, attention.std(0, correction=0).mean()

"""Plain layers of ReLU units, as in the oldest experiments on MNIST."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


class MLP(nn.Sequential):
    """Linear layers of `hidden` ReLU units each, and a linear one to the logits.

    Takes (B, ...) with `inputs` numbers an image, returns logits (B, classes). With two probabilities in
    `dropout`, inputs are left out with the first and hidden units with the second.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        inputs: int = 784,
        classes: int = 10,
        dropout: tuple[float, float] | None = None,
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for k, units in enumerate(hidden):
            layers += [nn.Dropout(dropout[k > 0])] if dropout else []
            layers += [nn.Linear(inputs, units), nn.ReLU()]
            inputs = units
        layers += [nn.Dropout(dropout[1])] if dropout else []
        super().__init__(*layers, nn.Linear(inputs, classes))

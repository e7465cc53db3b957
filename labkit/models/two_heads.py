"""A network with a second output on the same features."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TwoHeads(nn.Module):
    """`classifier(body(x))` as usual, and an `auxiliary` head on the same features for use in training.

    `body` takes a batch and returns features (B, F); both heads take features.
    """

    def __init__(self, body: nn.Module, classifier: nn.Module, auxiliary: nn.Module) -> None:
        super().__init__()
        self.body, self.classifier, self.auxiliary = body, classifier, auxiliary

    def forward(self, x: Tensor) -> Tensor:
        """Return the class logits, (B, classes)."""
        y: Tensor = self.classifier(self.body(x))
        return y

    def both(self, x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class logits of `x` and the auxiliary logits of `others`, from one pass of the body.

        BatchNorm sees them as one batch.
        """
        features = self.body(torch.cat([x, others]))
        return self.classifier(features[: len(x)]), self.auxiliary(features[len(x) :])

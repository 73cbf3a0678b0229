"""Compute a loss that ranks no batch at every Matryoshka dimension, on unit prefixes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (a column of embeddings each, labels) -> scalar
EmbeddingLoss = Callable[[list[Tensor], Tensor], Tensor]


class MatryoshkaPrefixLoss(nn.Module):
    """The weighted mean over dimensions of a loss of embeddings, each prefix scaled to unit length.

    One forward pass of the model per column, whatever the number of dimensions; the model itself is
    left as it is, where stock MatryoshkaLoss replaces its `forward`. Labels go to the loss as they
    are. Each worker's loss is that of its own rows. `by_dimension` has the last loss of each
    dimension.
    """

    def __init__(self, model: Any, loss: EmbeddingLoss, weights: Mapping[int, float]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.weights = weights
        self.by_dimension: dict[int, Tensor] = {}

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        embeddings = []
        for features in sentence_features:
            column = self.model(features)["sentence_embedding"]
            embeddings.append(column if column.dtype == torch.float64 else column.float())

        losses = []
        for dimension in self.weights:
            prefixes = [F.normalize(column[:, :dimension], dim=1) for column in embeddings]
            losses.append(self.loss(prefixes, labels))
        stacked = torch.stack(losses)
        self.by_dimension = dict(zip(self.weights, stacked.detach(), strict=True))
        weights = list(self.weights.values())
        return (stacked * stacked.new_tensor(weights)).sum() / sum(weights)

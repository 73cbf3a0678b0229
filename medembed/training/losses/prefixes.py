"""Losses that are no ranking losses, at every Matryoshka dimension: each sees the unit prefixes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medembed.training.losses.nested import Nested

# (a column of embeddings each, labels) -> scalar
EmbeddingLoss = Callable[[list[Tensor], Tensor], Tensor]


class MatryoshkaPrefixLoss(nn.Module):
    """The weighted mean over dimensions of a loss of embeddings, each prefix scaled to unit length.

    One forward pass of the model per column, whatever the number of dimensions; the model itself is
    left as it is, where stock MatryoshkaLoss replaces its `forward` and draws dimensions from
    Python's global random state. Labels go to the loss as they are. Each worker's loss is that of
    its own rows. `step`, which the trainer sets, decides the dimensions that are drawn;
    `by_dimension` then has the loss of each.
    """

    def __init__(self, model: Any, loss: EmbeddingLoss, nested: Nested) -> None:
        super().__init__()
        self.model, self.loss, self.nested = model, loss, nested
        self.step, self.by_dimension = 0, dict[int, Tensor]()

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        embeddings = [self.model(features)["sentence_embedding"] for features in sentence_features]
        embeddings = [
            column if column.dtype == torch.float64 else column.float() for column in embeddings
        ]
        drawn = self.nested.draw(self.step)
        losses = torch.stack(
            [self.loss(_prefixes(embeddings, dimension), labels) for dimension, _ in drawn]
        )
        self.by_dimension = {
            dimension: loss.detach() for (dimension, _), loss in zip(drawn, losses, strict=True)
        }
        return (
            losses * losses.new_tensor([weight for _, weight in drawn])
        ).sum() / self.nested.whole


def margin_mse(embeddings: list[Tensor], scores: Tensor) -> Tensor:
    """Mean squared difference of the student's and the teacher's margins (Hofstätter et al. 2020,
    arXiv:2010.02666).

    embeddings: unit rows of query, positive, negatives. scores float [B, 1 + negatives]: the
    teacher's, of the positive and of each negative; NaN where there is no negative, which then
    takes no part.
    """
    queries, *documents = embeddings
    cosines = torch.stack([(queries * column).sum(1) for column in documents], dim=1)
    wanted = scores[:, :1] - scores[:, 1:]
    known = ~wanted.isnan()
    found = (cosines[:, :1] - cosines[:, 1:])[known]
    return F.mse_loss(found, wanted[known].to(found.dtype)) if known.any() else cosines.sum() * 0


def mse(embeddings: list[Tensor], vectors: Tensor) -> Tensor:
    """Mean squared difference to the teacher's unit prefix (Reimers and Gurevych 2020,
    arXiv:2004.09813, equation 1).

    embeddings: one column [B, d] of unit rows; vectors [B, D] with D >= d, whole.
    """
    (student,) = embeddings
    return F.mse_loss(student, F.normalize(vectors[:, : student.shape[1]].to(student.dtype), dim=1))


def _prefixes(embeddings: list[Tensor], dimension: int) -> list[Tensor]:
    return [F.normalize(column[:, :dimension], dim=1) for column in embeddings]

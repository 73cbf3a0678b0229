"""Rank a query's positive among the documents of all workers, at every Matryoshka dimension."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from torch import Tensor, nn

from medembed.training.collective import gather, gather_with_gradients, world
from medembed.training.losses.guide import Guide
from medembed.training.losses.hold import Hold, distance_by_dimension
from medembed.training.losses.info_nce import LossByDimension, MaskRows, matryoshka_info_nce
from medembed.training.losses.positive_mask import find_positives
from medembed.training.rows.batch_columns import NO_DOCUMENT


@dataclass(frozen=True)
class _Side:
    """Embeddings [n, D] of queries or documents, ids int64 [n], and the guide's embeddings."""

    embeddings: Tensor
    ids: Tensor
    guided: Tensor | None

    def select(self, kept: Tensor) -> "_Side":
        guided = None if self.guided is None else self.guided[kept]
        return _Side(self.embeddings[kept], self.ids[kept], guided)


class _Labels(NamedTuple):
    """What the loss knows of a batch besides the embeddings in training.

    ids int64 [B, 2 + negatives]; the guide's embeddings of each column; the start's vectors of the
    joined texts, which are the last column then.
    """

    ids: Tensor
    guided: list[Tensor] | None
    start: Tensor | None


class MatryoshkaRankingLoss(CachedLossMixin, nn.Module):
    """`matryoshka_info_nce` over in-batch and mined negatives of all workers.

    Columns: query, positive, then mined negatives. `labels` int64 [B, 2 + negatives] are the ids of
    the same. Documents are gathered with their gradients, so that every worker's documents are
    negatives for all queries, those excepted that `pairs` int64 [P, 2] (query id, document id)
    knows as positives of a query; None: the pairs of the joined batch. The mean over workers of
    value and gradient is that of one worker with the joined batch.

    symmetric: the mean of that and of the other direction, in which a positive tells its query from
    the other queries of all workers (Radford et al. 2021, arXiv:2103.00020, figure 3), other
    queries that it answers excepted.
    mini_batch_size: gradients with respect to embeddings are kept and the encoder runs again for so
    many texts at a time, with the random state of the first run (GradCache, Gao et al. 2021,
    arXiv:2101.06983): the same value and gradient in the memory of a mini-batch, for one forward
    pass more.
    guide: documents that the guide finds closer to the query than its positive are no negatives
    (GISTEmbed, Solatorio 2024, arXiv:2402.16829; between queries and documents, as the rest of this
    loss).
    hold: `hold.weight` times the mean cosine distance between the vectors of joined texts and those
    that the model of the start gives them is added at each dimension. `step`, which the trainer
    sets, decides what is joined.

    `by_dimension` has the last loss of each dimension.
    """

    def __init__(
        self,
        model: Any,
        weights: Mapping[int, float],
        temperature: float,
        *,
        symmetric: bool = False,
        mini_batch_size: int | None = None,
        guide: Guide | None = None,
        pairs: Tensor | None = None,
        hold: Hold | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.weights = dict(sorted(weights.items()))
        self.temperature = temperature
        self.symmetric = symmetric
        self.guide = guide
        self.hold = hold
        self.uses_gradient_cache = mini_batch_size is not None
        self.mini_batch_size = mini_batch_size or 0
        known = None if pairs is None else pairs.unique(dim=0)
        self.register_buffer("pairs", known, persistent=False)
        self.step = 0
        self.by_dimension: dict[int, Tensor] = {}

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        features = list(sentence_features)
        guided = None if self.guide is None else self.guide.embed(features)
        start = None
        # joined texts are a column more, which the model embeds as it does the others
        if self.hold is not None:
            joined = self.hold.join(len(labels), self.step)
            start = self.hold.embed(joined, labels.device)
            features.append(self.hold.read(joined, labels.device))

        known = _Labels(labels, guided, start)
        if self.uses_gradient_cache:
            return self.forward_cached(features, known)
        embeddings = [[self.model(column)["sentence_embedding"]] for column in features]
        return self.calculate_loss(embeddings, known)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Any = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of embeddings in parts, a list for each column, and `_Labels`."""
        embeddings = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in reps]
        joined = None if labels.start is None else embeddings.pop()
        total, losses = self._rank(embeddings, labels)
        if self.symmetric:
            reverse = self._rank(embeddings, labels, reverse=True)
            total = (total + reverse.total) / 2
            losses = (losses + reverse.by_dimension) / 2
        if joined is not None:
            held = self._hold(joined, labels.start)
            total = total + held.total
            losses = losses + held.by_dimension

        self.by_dimension = dict(zip(self.weights, losses.detach(), strict=True))
        if with_backward:
            total.backward()
            return total.detach()
        return total

    def _rank(
        self, embeddings: list[Tensor], labels: _Labels, reverse: bool = False
    ) -> LossByDimension:
        """Rank all documents for own queries; in reverse, all queries for own positives."""
        ids, guided, _ = labels
        first = 1 if reverse else 0
        columns = [0] if reverse else list(range(1, len(embeddings)))
        all_ids = gather(ids)
        own = _Side(
            embeddings[first], ids[:, first].contiguous(), None if guided is None else guided[first]
        )
        others = _Side(
            torch.cat([gather_with_gradients(embeddings[column]) for column in columns]),
            all_ids[:, columns].T.reshape(-1),
            None if guided is None else torch.cat([gather(guided[column]) for column in columns]),
        )
        is_text = others.ids != NO_DOCUMENT
        if not is_text.all():  # positives come first, so that targets stay where they are
            others = others.select(is_text)

        targets = torch.arange(len(own.ids), device=ids.device) + world()[0] * len(own.ids)
        pairs = all_ids[:, :2] if self.pairs is None else self.pairs
        mask = _mask(own, others, pairs.flip(1) if reverse else pairs, targets)
        return matryoshka_info_nce(
            own.embeddings,
            others.embeddings,
            targets,
            mask,
            weights=self.weights,
            temperature=self.temperature,
        )

    def _hold(self, joined: Tensor, start: Tensor) -> LossByDimension:
        """Return what joined texts pay for leaving their place."""
        assert self.hold is not None
        losses = self.hold.weight * distance_by_dimension(joined, start, list(self.weights))
        weights = list(self.weights.values())
        total = (losses * losses.new_tensor(weights)).sum() / sum(weights)
        return LossByDimension(total, losses)


def _mask(own: _Side, others: _Side, pairs: Tensor, targets: Tensor) -> MaskRows:
    known = find_positives(own.ids, others.ids, pairs, targets)
    if own.guided is None or others.guided is None:
        return known.of_rows
    return _GuidedMask(own.guided, others.guided, targets, known.of_rows).of_rows


@dataclass(frozen=True)
class _GuidedMask:
    """Masks what the guide finds closer than a row's target, and what `known` masks."""

    own: Tensor
    others: Tensor
    targets: Tensor
    known: MaskRows

    def of_rows(self, first: int, end: int) -> Tensor:
        similarities = self.own[first:end] @ self.others.T
        targets = self.targets[first:end, None]
        masked = similarities > similarities.gather(1, targets)
        known = self.known(first, end)
        if known is not None:
            masked |= known
        return masked.scatter_(1, targets, False)

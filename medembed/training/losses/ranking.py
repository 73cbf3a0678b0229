"""The Matryoshka ranking loss for a sentence-transformers trainer: negatives of all workers,
cached, guided.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from torch import Tensor, nn

from medembed.training.collective import gather, gather_with_gradients, world
from medembed.training.losses.guide import Guide
from medembed.training.losses.hold import Hold, distance_by_dimension
from medembed.training.losses.info_nce import MaskRows, info_nce_by_dimension
from medembed.training.losses.known_positives import find_known
from medembed.training.losses.nested import Nested
from medembed.training.rows.batch_columns import NO_DOCUMENT


@dataclass(frozen=True)
class _Side:
    """Embeddings [n, D] of queries or documents with their ids int64 [n] and the guide's embeddings
    of the same.
    """

    embeddings: Tensor
    ids: Tensor
    guided: Tensor | None

    def select(self, kept: Tensor) -> "_Side":
        return _Side(
            self.embeddings[kept],
            self.ids[kept],
            None if self.guided is None else self.guided[kept],
        )


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
    guide: no negatives are documents that the guide finds closer to the query than its positive
    less `guide_margin` (GISTEmbed, Solatorio 2024, arXiv:2402.16829; between queries and documents,
    as the rest of this loss).

    hold: `hold.weight` times the mean cosine distance between the vectors of joined texts and those
    that the model of the start gives them is added at each dimension.

    `step`, which the trainer sets, decides the dimensions that are drawn; `by_dimension` then has
    the loss of each.
    """

    def __init__(
        self,
        model: Any,
        nested: Nested,
        temperature: float,
        *,
        symmetric: bool = False,
        mini_batch_size: int | None = None,
        guide: Guide | None = None,
        guide_margin: float = 0.0,
        pairs: Tensor | None = None,
        hold: Hold | None = None,
    ) -> None:
        super().__init__()
        self.model, self.nested, self.temperature = model, nested, temperature
        self.symmetric, self.guide, self.guide_margin = symmetric, guide, guide_margin
        self.hold = hold
        self.uses_gradient_cache = mini_batch_size is not None
        self.mini_batch_size = mini_batch_size or 0
        self.register_buffer(
            "pairs", None if pairs is None else pairs.unique(dim=0), persistent=False
        )
        self.step, self.by_dimension = 0, dict[int, Tensor]()

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        features = list(sentence_features)
        guided = None if self.guide is None else self.guide.embed(features)
        start = None
        # joined texts are a column more, which the model embeds as it does the others
        if self.hold is not None:
            joined = self.hold.join(len(labels), self.step)
            start = self.hold.embed(joined, labels.device)
            features.append(self.hold.read(joined, labels.device))
        labels = (labels, guided, start)
        if self.uses_gradient_cache:
            return self.forward_cached(features, labels)
        return self.calculate_loss(
            [[self.model(column)["sentence_embedding"]] for column in features], labels
        )

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Any = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss of embeddings in parts: a list for each column.

        `labels` are (ids, guide's embeddings, start's vectors of the joined texts, which are the
        last column then).
        """
        embeddings = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in reps]
        ids, guided, start = labels
        joined = None if start is None else embeddings.pop()
        total, losses = self._loss(embeddings, ids, guided)
        if self.symmetric:
            reverse, others = self._loss(embeddings, ids, guided, reverse=True)
            total, losses = (total + reverse) / 2, (losses + others) / 2
        if joined is not None:
            held, distances = self._held(joined, start)
            total, losses = total + held, losses + distances
        drawn = [dimension for dimension, _ in self.nested.draw(self.step)]
        self.by_dimension = dict(zip(drawn, losses.detach(), strict=True))
        if with_backward:
            total.backward()
            return total.detach()
        return total

    def _loss(
        self,
        embeddings: list[Tensor],
        ids: Tensor,
        guided: list[Tensor] | None,
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Own queries against all documents; in reverse, own positives against all queries."""
        all_ids, first = gather(ids), 1 if reverse else 0
        columns = [0] if reverse else list(range(1, len(embeddings)))
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
        mask = self._mask(own, others, pairs.flip(1) if reverse else pairs, targets)
        drawn = self.nested.draw(self.step)
        total, losses = info_nce_by_dimension(
            own.embeddings,
            others.embeddings,
            targets,
            mask,
            dimensions=[dimension for dimension, _ in drawn],
            weights=[weight for _, weight in drawn],
            temperature=self.temperature,
        )
        return total * (sum(weight for _, weight in drawn) / self.nested.whole), losses

    def _held(self, joined: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """(what joined texts pay for leaving their place, its parts by dimension)."""
        assert self.hold is not None
        drawn = self.nested.draw(self.step)
        parts = self.hold.weight * distance_by_dimension(
            joined, start, [dimension for dimension, _ in drawn]
        )
        weights = parts.new_tensor([weight for _, weight in drawn])
        return (parts * weights).sum() / self.nested.whole, parts

    def _mask(self, own: _Side, others: _Side, pairs: Tensor, targets: Tensor) -> MaskRows:
        known = find_known(own.ids, others.ids, pairs, targets)
        if own.guided is None or others.guided is None:
            return known.mask
        return _Guided(own.guided, others.guided, targets, self.guide_margin, known.mask).mask


@dataclass(frozen=True)
class _Guided:
    """Masks what the guide finds closer than a row's target less the margin, and what `known`
    masks.
    """

    own: Tensor
    others: Tensor
    targets: Tensor
    margin: float
    known: MaskRows

    def mask(self, first: int, end: int) -> Tensor:
        similarities, targets = self.own[first:end] @ self.others.T, self.targets[first:end, None]
        masked = similarities > similarities.gather(1, targets) - self.margin
        known = self.known(first, end)
        if known is not None:
            masked |= known
        return masked.scatter_(1, targets, False)

"""The Matryoshka ranking loss: InfoNCE at every dimension for the price of one multiply.

Similarity at nested prefixes is a running sum over column blocks: q[:256] . d[:256] is q[:128] . d[:128] plus
the block 128..256. All dimensions together therefore cost one full-width multiply, and prefix norms run alike.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F

from medembed.training.batches import NO_DOCUMENT


def matryoshka_info_nce(
    queries: Tensor,
    documents: Tensor,
    targets: Tensor,
    masked: Tensor,
    *,
    dimensions: Sequence[int],
    weights: Sequence[float],
    temperature: float,
) -> Tensor:
    """Weighted mean over dimensions of the mean InfoNCE over queries, a scalar.

    queries [B, D] and documents [N, D], not normalised; targets int64 [B]: the row of documents that
    answers each query; masked bool [B, N]: documents that are no negatives of a query, its other positives above all.
    Textbook form: normalise each prefix, cosines over temperature, cross-entropy (van den Oord et al. 2018,
    arXiv:1807.03748), summed over prefixes (Kusupati et al. 2022, arXiv:2205.13147, equation 1).
    """
    total = queries.new_zeros(())
    scores = queries.new_zeros(len(queries), len(documents))
    query_squares, document_squares = queries.new_zeros(len(queries)), documents.new_zeros(len(documents))
    start = 0
    for dimension, weight in sorted(zip(dimensions, weights, strict=True)):
        q, d = queries[:, start:dimension], documents[:, start:dimension]
        scores = scores + q @ d.T
        query_squares = query_squares + q.square().sum(1)
        document_squares = document_squares + d.square().sum(1)
        norms = torch.outer(query_squares, document_squares).clamp_min(1e-24).sqrt()
        logits = (scores / norms / temperature).masked_fill(masked, float("-inf"))
        total = total + weight * F.cross_entropy(logits, targets)
        start = dimension
    return total / sum(weights)


def known_positives(
    query_ids: Tensor, positive_ids: Tensor, document_ids: Tensor, own_queries: Tensor, targets: Tensor
) -> Tensor:
    """bool [B, N]: documents that some row of the batch names as a positive of the same query, the target excepted.

    query_ids and positive_ids [R] are the pairs of the whole batch, document_ids [N] its documents,
    own_queries [B] the queries scored here.
    """
    same_query = own_queries[:, None] == query_ids[None, :]
    answers = positive_ids[:, None] == document_ids[None, :]
    known = (same_query.float() @ answers.float()) > 0
    known[torch.arange(len(targets), device=targets.device), targets] = False
    return known


class MatryoshkaRankingLoss(nn.Module):
    """`matryoshka_info_nce` over in-batch and mined negatives, for a sentence-transformers trainer.

    Columns: query, positive, then mined negatives. `labels` int64 [B, 2 + negatives] are the ids of the same,
    by which duplicates and known positives are masked. With several workers documents are gathered with
    their gradients, so that every worker's documents are negatives for all queries.
    """

    def __init__(self, model: Any, dimensions: Sequence[int], weights: Sequence[float], temperature: float) -> None:
        super().__init__()
        self.model = model
        self.dimensions, self.weights, self.temperature = tuple(dimensions), tuple(weights), temperature

    def forward(self, sentence_features: Sequence[dict[str, Tensor]], labels: Tensor) -> Tensor:
        queries, *columns = (self.model(features)["sentence_embedding"] for features in sentence_features)
        ids = _gather(labels)
        documents = torch.cat([_gather_with_gradients(column) for column in columns])
        rank = dist.get_rank() if _is_distributed() else 0
        targets = torch.arange(len(queries), device=queries.device) + rank * len(queries)
        document_ids = ids[:, 1:].T.reshape(-1)
        masked = known_positives(ids[:, 0], ids[:, 1], document_ids, labels[:, 0], targets) | (
            document_ids == NO_DOCUMENT
        )
        return matryoshka_info_nce(
            queries,
            documents,
            targets,
            masked,
            dimensions=self.dimensions,
            weights=self.weights,
            temperature=self.temperature,
        )


def _is_distributed() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1


def _gather(tensor: Tensor) -> Tensor:
    if not _is_distributed():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def _gather_with_gradients(tensor: Tensor) -> Tensor:
    return torch.cat(all_gather(tensor.contiguous())) if _is_distributed() else tensor

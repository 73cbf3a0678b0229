"""Compute InfoNCE at every Matryoshka dimension for the price of one multiply, with its gradient.

Similarity at nested prefixes is a running sum over column blocks: q[:256] . d[:256] is q[:128] .
d[:128] plus the block 128..256. The gradient runs the other way: what a block of columns gets is
the sum over all dimensions that contain it. All dimensions together therefore cost one full-width
multiply forward and two backward, and prefix norms run alike. Both are computed together for some
queries at a time, so that no score is kept: memory grows with the embeddings, not with their
square.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# (first, end) -> bool [end - first, N]: documents that take no part for these queries; None: all
# do.
MaskRows = Callable[[int, int], Tensor | None]

_EPSILON = 1e-12  # the least norm, as torch.nn.functional.normalize has it
_NEVER = -1e30  # a masked similarity: below any other, and finite, so that 0 * it is 0
# Scores of one dimension that are alive together. On a CPU they should stay in its caches:
# measured.
_SCORES_ON_CPU = 1 << 20
_SCORES_ON_GPU = 1 << 24
_FEWEST_ROWS = 16  # fewer would multiply slowly


class LossByDimension(NamedTuple):
    """The loss with its gradient, and the loss of each dimension without one."""

    total: Tensor
    by_dimension: Tensor  # [dimensions], ascending


def matryoshka_info_nce(
    queries: Tensor,
    documents: Tensor,
    targets: Tensor,
    mask: MaskRows,
    *,
    weights: Mapping[int, float],
    temperature: float,
) -> LossByDimension:
    """Return the weighted mean over dimensions of the mean InfoNCE over queries.

    queries [B, D] and documents [N, D], not normalised; targets int64 [B]: the row of documents
    that answers each query; `mask` gives rows of a bool [B, N]: documents that are no negatives of
    a query, its other positives above all. A target must not be masked. weights: {dimension:
    weight}. Textbook form: normalise each prefix, cosines over temperature, cross-entropy (van den
    Oord et al. 2018, arXiv:1807.03748), summed over prefixes (Kusupati et al. 2022,
    arXiv:2205.13147, equation 1). float64 computes in float64, all else in float32, under autocast
    too.
    """
    dimensions = tuple(sorted(weights))
    whole = sum(weights[dimension] for dimension in dimensions)
    shares = tuple(weights[dimension] / whole for dimension in dimensions)
    blocks = _Blocks(dimensions, shares, temperature, targets, mask)
    total, losses = _NestedInfoNCE.apply(queries, documents, blocks, torch.is_grad_enabled())
    return LossByDimension(total, losses)


@dataclass(frozen=True)
class _Blocks:
    """The arguments without a gradient; dimensions ascend, and shares sum to 1."""

    dimensions: tuple[int, ...]
    shares: tuple[float, ...]
    temperature: float
    targets: Tensor
    mask: MaskRows

    def columns(self) -> list[slice]:
        starts = (0, *self.dimensions)
        return [slice(*ends) for ends in zip(starts, self.dimensions, strict=False)]


class _NestedInfoNCE(torch.autograd.Function):
    """Gives (loss, losses by dimension); the gradient is computed beside the value."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, documents: Tensor, blocks: _Blocks, with_gradient: bool
    ) -> Any:
        dtype = torch.float64 if queries.dtype == torch.float64 else torch.float32
        with torch.autocast(queries.device.type, enabled=False):
            sums = _Sums(queries.to(dtype), documents.to(dtype), blocks, with_gradient)
            for first in range(0, len(queries), sums.rows_at_once):
                sums.add(first, min(first + sums.rows_at_once, len(queries)))
            losses = sums.losses / len(queries)
            total = (losses * losses.new_tensor(blocks.shares)).sum()
        if with_gradient:
            ctx.save_for_backward(*sums.finish())
            ctx.dtypes = queries.dtype, documents.dtype
        ctx.mark_non_differentiable(losses)
        return total, losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [
            (factor * saved).to(dtype)
            for saved, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*gradients, None, None)


class _Sums:
    """The sums that grow as queries are added, some rows at a time.

    With cosines c = s a b of raw scores s, where a and b are inverse norms of prefixes: softmax
    gives dL/dc, the gradient of s is g = dL/dc a b, and since da/dq = -a^3 q, that of a query's own
    norm is -a^2 (sum of g s) q.
    """

    def __init__(
        self, queries: Tensor, documents: Tensor, blocks: _Blocks, with_gradient: bool
    ) -> None:
        self.queries = queries
        self.documents = documents
        self.blocks = blocks
        self.with_gradient = with_gradient
        self.columns = blocks.columns()
        self.query_scales, self.query_norms_count = _inverse_norms(queries, self.columns)
        self.document_scales, self.document_norms_count = _inverse_norms(documents, self.columns)

        budget = _SCORES_ON_CPU if queries.device.type == "cpu" else _SCORES_ON_GPU
        self.rows_at_once = min(len(queries), max(_FEWEST_ROWS, budget // len(documents)))
        depth = len(blocks.dimensions)
        self.scores, self.products = queries.new_empty(2, self.rows_at_once, len(documents))
        self.kept = queries.new_empty(
            depth if with_gradient else 1, self.rows_at_once, len(documents)
        )
        self.losses = queries.new_zeros(depth)
        if with_gradient:
            self.query_gradient = torch.zeros_like(queries)
            self.document_gradient = torch.zeros_like(documents)
            self.document_pulls = queries.new_zeros(depth, len(documents))

    def add(self, first: int, end: int) -> None:
        """Add queries first to end: their losses and, if wanted, their gradients."""
        count = end - first
        targets = self.blocks.targets[first:end]
        queries = self.queries[first:end]
        scores = self.scores[:count]
        products = self.products[:count]
        scores.zero_()
        mask = self.blocks.mask(first, end)
        if mask is not None:
            scores.masked_fill_(mask, _NEVER)

        pulls = queries.new_zeros(len(self.columns), count)
        for level, columns in enumerate(self.columns):
            scores.addmm_(queries[:, columns], self.documents[:, columns].T)
            kept = self.kept[level if self.with_gradient else 0, :count]
            scale = self.query_scales[level][first:end] / self.blocks.temperature
            normalizer = self._exponentials(scores, scale, targets, level, out=kept)
            if self.with_gradient:
                scale = scale * (self.blocks.shares[level] / len(self.queries))
                self._score_gradient(kept, scale, normalizer, targets, level)
                torch.mul(kept, scores, out=products)
                pulls[level] = products.sum(1)
                self.document_pulls[level] += products.sum(0)
        if self.with_gradient:
            self._add_gradients(first, end, pulls)

    def _exponentials(
        self, scores: Tensor, scale: Tensor, targets: Tensor, level: int, out: Tensor
    ) -> Tensor:
        """Set `out` to exp(logits - highest of the row) and return its sums [rows]."""
        torch.mul(scores, self.document_scales[level], out=out)
        out.mul_(scale[:, None])
        highest = out.amax(1, keepdim=True)
        out.sub_(highest)
        of_targets = out.gather(1, targets[:, None]).squeeze(1)
        normalizer = out.exp_().sum(1)
        self.losses[level] += (normalizer.log() - of_targets).sum()
        return normalizer

    def _score_gradient(
        self, kept: Tensor, scale: Tensor, normalizer: Tensor, targets: Tensor, level: int
    ) -> None:
        """Turn `kept` from exponentials into the gradient of the raw scores at this dimension."""
        kept.mul_((scale / normalizer)[:, None])
        kept.scatter_add_(1, targets[:, None], -scale[:, None])
        kept.mul_(self.document_scales[level])

    def _add_gradients(self, first: int, end: int, pulls: Tensor) -> None:
        """Add the gradients of these queries, from the largest dimension down.

        A block of columns belongs to all dimensions from its own up.
        """
        kept = self.kept[:, : end - first]
        pull = pulls.new_zeros(end - first)
        squares = self.query_scales[:, first:end].square()
        pulls = pulls * squares * self.query_norms_count[:, first:end]
        for level in reversed(range(len(self.columns))):
            columns = self.columns[level]
            if level + 1 < len(self.columns):
                kept[level].add_(kept[level + 1])
            pull = pull + pulls[level]
            queries = self.queries[first:end, columns]
            gradient = self.query_gradient[first:end, columns]
            gradient.addmm_(kept[level], self.documents[:, columns])
            gradient.addcmul_(queries, pull[:, None], value=-1)
            self.document_gradient[:, columns].addmm_(kept[level].T, queries)

    def finish(self) -> tuple[Tensor, Tensor]:
        """Return the gradients of queries [B, D] and documents [N, D]."""
        pulls = self.document_pulls * self.document_scales.square() * self.document_norms_count
        pulls = pulls.flip(0).cumsum(0).flip(0)
        for columns, pull in zip(self.columns, pulls, strict=True):
            gradient = self.document_gradient[:, columns]
            gradient.addcmul_(self.documents[:, columns], pull[:, None], value=-1)
        return self.query_gradient, self.document_gradient


def _inverse_norms(embeddings: Tensor, columns: Sequence[slice]) -> tuple[Tensor, Tensor]:
    """Return 1 / norm of each prefix [dimensions, rows], and where that norm has a gradient.

    It has none where it is the least norm.
    """
    squares = torch.stack([embeddings[:, block].square().sum(1) for block in columns]).cumsum(0)
    norms = squares.sqrt()
    return norms.clamp_min(_EPSILON).reciprocal(), norms > _EPSILON

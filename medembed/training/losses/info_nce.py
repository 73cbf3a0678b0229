"""InfoNCE at every Matryoshka dimension for the price of one multiply, value and gradient in one
go.

Similarity at nested prefixes is a running sum over column blocks: q[:256] . d[:256] is q[:128] .
d[:128] plus the block 128..256. The gradient runs the other way: what a block of columns gets is
the sum over all dimensions that contain it. All dimensions together therefore cost one full-width
multiply forward and two backward, and prefix norms run alike. Both are computed together for some
queries at a time, so that no score is kept: memory grows with the embeddings, not with their
square.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
_SCORES_ON_CPU, _SCORES_ON_GPU = 1 << 20, 1 << 24
_FEWEST_ROWS = 16  # fewer would multiply slowly


def matryoshka_info_nce(
    queries: Tensor,
    documents: Tensor,
    targets: Tensor,
    masked: Tensor | MaskRows,
    *,
    dimensions: Sequence[int],
    weights: Sequence[float],
    temperature: float,
) -> Tensor:
    """Weighted mean over dimensions of the mean InfoNCE over queries, a scalar.

    queries [B, D] and documents [N, D], not normalised; targets int64 [B]: the row of documents
    that answers each query; masked bool [B, N], or a function that gives its rows: documents that
    are no negatives of a query, its other positives above all. A target must not be masked.
    Textbook form: normalise each prefix, cosines over temperature, cross-entropy (van den Oord et
    al. 2018, arXiv:1807.03748), summed over prefixes (Kusupati et al. 2022, arXiv:2205.13147,
    equation 1). float64 computes in float64, all else in float32, under autocast too.
    """
    mask = _rows_of(masked) if isinstance(masked, Tensor) else masked
    return info_nce_by_dimension(
        queries,
        documents,
        targets,
        mask,
        dimensions=dimensions,
        weights=weights,
        temperature=temperature,
    )[0]


def info_nce_by_dimension(
    queries: Tensor,
    documents: Tensor,
    targets: Tensor,
    mask: MaskRows,
    *,
    dimensions: Sequence[int],
    weights: Sequence[float],
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """(`matryoshka_info_nce`, the mean InfoNCE [len(dimensions)] of each dimension without
    gradient).
    """
    order = sorted(range(len(dimensions)), key=lambda number: dimensions[number])
    share = [weights[number] / sum(weights) for number in order]
    blocks = _Blocks(
        tuple(dimensions[number] for number in order), tuple(share), temperature, targets, mask
    )
    total, losses = _NestedInfoNCE.apply(queries, documents, blocks, torch.is_grad_enabled())
    return total, losses[torch.tensor(order, device=losses.device).argsort()]


@dataclass(frozen=True)
class _Blocks:
    """What is no tensor to differentiate; dimensions ascend, and shares sum to 1."""

    dimensions: tuple[int, ...]
    shares: tuple[float, ...]
    temperature: float
    targets: Tensor
    mask: MaskRows

    def columns(self) -> list[slice]:
        return [
            slice(first, end)
            for first, end in zip((0, *self.dimensions), self.dimensions, strict=False)
        ]


class _NestedInfoNCE(torch.autograd.Function):
    """(queries, documents) -> (loss, losses by dimension), with the gradient computed beside the
    value.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, documents: Tensor, blocks: _Blocks, with_gradient: bool
    ) -> Any:
        dtype = torch.float64 if queries.dtype == torch.float64 else torch.float32
        with torch.autocast(queries.device.type, enabled=False):
            work = _Work(queries.to(dtype), documents.to(dtype), blocks, with_gradient)
            for first in range(0, len(queries), work.rows_at_once):
                work.add(first, min(first + work.rows_at_once, len(queries)))
            losses = work.losses / len(queries)
            total = (losses * losses.new_tensor(blocks.shares)).sum()
        if with_gradient:
            ctx.save_for_backward(*work.finish())
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


class _Work:
    """The sums that grow as queries are added, some rows at a time.

    With cosines c = s a b of raw scores s, where a and b are inverse norms of prefixes: softmax
    gives dL/dc, the gradient of s is g = dL/dc a b, and since da/dq = -a^3 q, that of a query's own
    norm is -a^2 (sum of g s) q.
    """

    def __init__(
        self, queries: Tensor, documents: Tensor, blocks: _Blocks, with_gradient: bool
    ) -> None:
        self.queries, self.documents, self.blocks, self.with_gradient = (
            queries,
            documents,
            blocks,
            with_gradient,
        )
        self.columns = blocks.columns()
        self.query_scales, self.query_norms_count = _inverse_norms(queries, self.columns)
        self.document_scales, self.document_norms_count = _inverse_norms(documents, self.columns)
        budget = _SCORES_ON_CPU if queries.device.type == "cpu" else _SCORES_ON_GPU
        self.rows_at_once = min(len(queries), max(_FEWEST_ROWS, budget // len(documents)))
        depth, rows = len(blocks.dimensions), self.rows_at_once
        self.scores, self.products = queries.new_empty(2, rows, len(documents))
        self.kept = queries.new_empty(depth if with_gradient else 1, rows, len(documents))
        self.losses = queries.new_zeros(depth)
        if with_gradient:
            self.query_gradient, self.document_gradient = (
                torch.zeros_like(queries),
                torch.zeros_like(documents),
            )
            self.document_pulls = queries.new_zeros(depth, len(documents))

    def add(self, first: int, end: int) -> None:
        """Adds queries first to end: their losses and, if wanted, their gradients."""
        count, targets = end - first, self.blocks.targets[first:end]
        queries, scores, products = (
            self.queries[first:end],
            self.scores[:count],
            self.products[:count],
        )
        scores.zero_()
        mask = self.blocks.mask(first, end)
        if mask is not None:
            scores.masked_fill_(mask, _NEVER)
        pulls = queries.new_zeros(len(self.columns), count)
        for level, columns in enumerate(self.columns):
            scores.addmm_(queries[:, columns], self.documents[:, columns].T)
            kept, query_scale = (
                self.kept[level if self.with_gradient else 0, :count],
                self.query_scales[level],
            )
            scale = query_scale[first:end] / self.blocks.temperature
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
        """`out` becomes exp(logits - their row's highest); their sums [rows] are returned, the
        losses noted.
        """
        torch.mul(scores, self.document_scales[level], out=out)
        out.mul_(scale[:, None])
        highest = out.amax(1, keepdim=True)
        out.sub_(highest)
        found = out.gather(1, targets[:, None]).squeeze(1)
        normalizer = out.exp_().sum(1)
        self.losses[level] += (normalizer.log() - found).sum()
        return normalizer

    def _score_gradient(
        self, kept: Tensor, scale: Tensor, normalizer: Tensor, targets: Tensor, level: int
    ) -> None:
        """`kept`: exponentials -> gradient of the raw scores at this dimension."""
        kept.mul_((scale / normalizer)[:, None])
        kept.scatter_add_(1, targets[:, None], -scale[:, None])
        kept.mul_(self.document_scales[level])

    def _add_gradients(self, first: int, end: int, pulls: Tensor) -> None:
        """From the largest dimension down: a block of columns belongs to all dimensions from its
        own up.
        """
        kept, pull = self.kept[:, : end - first], pulls.new_zeros(end - first)
        pulls = (
            pulls * self.query_scales[:, first:end].square() * self.query_norms_count[:, first:end]
        )
        for level in reversed(range(len(self.columns))):
            columns = self.columns[level]
            if level + 1 < len(self.columns):
                kept[level].add_(kept[level + 1])
            pull = pull + pulls[level]
            queries, gradient = (
                self.queries[first:end, columns],
                self.query_gradient[first:end, columns],
            )
            gradient.addmm_(kept[level], self.documents[:, columns]).addcmul_(
                queries, pull[:, None], value=-1
            )
            self.document_gradient[:, columns].addmm_(kept[level].T, queries)

    def finish(self) -> tuple[Tensor, Tensor]:
        """The gradients of queries [B, D] and documents [N, D]."""
        pulls = self.document_pulls * self.document_scales.square() * self.document_norms_count
        pulls = pulls.flip(0).cumsum(0).flip(0)
        for columns, pull in zip(self.columns, pulls, strict=True):
            self.document_gradient[:, columns].addcmul_(
                self.documents[:, columns], pull[:, None], value=-1
            )
        return self.query_gradient, self.document_gradient


def _inverse_norms(embeddings: Tensor, columns: Sequence[slice]) -> tuple[Tensor, Tensor]:
    """(1 / norm of each prefix [dimensions, rows], whether the norm is not the least one and has a
    gradient).
    """
    squares = torch.stack([embeddings[:, block].square().sum(1) for block in columns]).cumsum(0)
    norms = squares.sqrt()
    return norms.clamp_min(_EPSILON).reciprocal(), norms > _EPSILON


def _rows_of(masked: Tensor) -> MaskRows:
    return lambda first, end: masked[first:end]

"""Survey how well the base model finds documents, by dimension and slice. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from medembed.language import to_translate
from medembed.matryoshka import truncate
from medembed.preflight.encode_probe import EncodedSample
from medembed.preflight.estimate import (
    Estimates,
    Floats,
    MeanInterval,
    estimate,
    interval,
    ratio_interval,
)
from medembed.preflight.queries import SMALLEST_SLICE, QuerySample, Slice
from medembed.preflight.sample import CorpusSample

ALL = to_translate("all queries")


@dataclass(frozen=True)
class RecallCell:
    """Recall@10 of all queries, or of a slice, at one dimension.

    `recall` has its own 95% interval; those of `sure` are wide enough for all cells at once.
    """

    name: str
    dimension: int
    queries: int
    groups: int
    recall: MeanInterval
    sure: MeanInterval


@dataclass(frozen=True)
class Kept:
    """The share of the full width's recall@10 that a dimension keeps over all queries."""

    dimension: int
    share: MeanInterval


@dataclass(frozen=True)
class Survey:
    """How well the base model finds documents wherever it will be used.

    The first cell is that of all queries at full width, and `ndcg` is their NDCG@10. `few` {slice:
    queries} have too few groups to be judged. `outranked` is the share of the other documents that
    rank before a positive, over all queries at full width; None where these have too few groups.
    """

    cells: tuple[RecallCell, ...]
    ndcg: float
    kept: tuple[Kept, ...]
    few: dict[str, int]
    outranked: MeanInterval | None = None


def survey(
    encoded: EncodedSample, queries: QuerySample, corpus: CorpusSample, dimensions: Sequence[int]
) -> Survey:
    """Measure recall at full width and at each of `dimensions`, for all queries and in each slice.

    There is at least one query. Where the sample is not the whole corpus, values are estimates.
    """
    core = slice(queries.core)
    widths = sorted({encoded.documents.shape[1], *dimensions}, reverse=True)
    slices = (Slice(ALL, tuple(range(queries.core))), *queries.slices)
    together = len(widths) * len(slices) + len(widths) - 1
    estimates = {width: _estimate(encoded, queries, corpus, width) for width in widths}
    cells: list[RecallCell] = []
    for width, entry in product(widths, slices):
        values = _recall(estimates[width], queries, entry)
        groups = [queries.groups[line] for line in entry.lines]
        own = interval(values, groups, is_sampled=corpus.unseen > 0)
        sure = interval(values, groups, is_sampled=corpus.unseen > 0, together=together)
        cells.append(RecallCell(entry.name, width, len(values), len(set(groups)), own, sure))

    full = estimates[widths[0]]
    groups_of_all = queries.groups[core]
    kept: list[Kept] = []
    outranked = None
    if len(set(groups_of_all)) >= SMALLEST_SLICE:
        for width in widths[1:] if full.recall[core].any() else ():
            recall = estimates[width].recall[core]
            share = ratio_interval(recall, full.recall[core], groups_of_all, together=together)
            kept.append(Kept(width, share))
        outranked = ratio_interval(full.outranked[core], np.ones(queries.core), groups_of_all)
    ndcg = float(full.ndcg[core].mean())
    return Survey(tuple(cells), ndcg, tuple(kept), queries.few, outranked)


def _estimate(
    encoded: EncodedSample, queries: QuerySample, corpus: CorpusSample, width: int
) -> Estimates:
    asked = truncate(encoded.queries, width)
    documents = truncate(encoded.documents, width)
    return estimate(
        asked,
        documents,
        corpus.row_ids,
        len(corpus.drawn),
        queries.positives,
        corpus.unseen,
        queries.ids,
    )


def _recall(estimates: Estimates, queries: QuerySample, entry: Slice) -> Floats:
    """Return each query's share of the slice's positives that are among the first ten."""
    if entry.document_language is None:
        return estimates.recall[list(entry.lines)]
    shares = []
    for line in entry.lines:
        chances = estimates.chances[line]
        counted = [
            chances[name] for name in chances if queries.languages[name] == entry.document_language
        ]
        shares.append(sum(counted) / len(counted))
    return np.array(shares)

"""How well the base model finds documents, at each dimension, for all queries and in each slice.
Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from medembed.matryoshka import truncate
from medembed.preflight.encode_probe import Encoded
from medembed.preflight.estimate import (
    Estimates,
    Floats,
    Interval,
    estimate,
    interval,
    ratio_interval,
)
from medembed.preflight.queries import SMALLEST_SLICE, Queries, Slice
from medembed.preflight.sample import Corpus

ALL = "all queries"


@dataclass(frozen=True)
class Quality:
    """Zero-shot recall@10 and NDCG@10 with texts cut at `max_length` tokens and all dimensions."""

    max_length: int
    recall: Interval
    ndcg: float


@dataclass(frozen=True)
class Cell:
    """Recall@10 of all queries, or of a slice, at one dimension.

    `recall` has its own 95% interval; those of `sure` are wide enough for all cells at once.
    """

    name: str
    dimension: int
    queries: int
    groups: int
    recall: Interval
    sure: Interval


@dataclass(frozen=True)
class Kept:
    """The share of the full width's recall@10 that a dimension keeps over all queries, as sure as a
    cell.
    """

    dimension: int
    share: Interval


@dataclass(frozen=True)
class Survey:
    """Recall@10 wherever the model will be used.

    The first cell is that of all queries at full width. `few` {slice: queries} have too few groups
    to be judged. `outranked` is the share of the other documents that rank before a positive, over
    all queries at full width; None where these have too few groups.
    """

    cells: tuple[Cell, ...]
    kept: tuple[Kept, ...]
    few: dict[str, int]
    outranked: Interval | None = None


def measure_quality(encoded: Encoded, queries: Queries, corpus: Corpus) -> Quality:
    """Measure quality on the whole corpus, estimated where the sample is not all of it.

    There is at least one query.
    """
    found = _estimate(encoded, queries, corpus, encoded.documents.shape[1])
    core = slice(queries.core)
    recall = interval(found.recall[core], queries.groups[core], is_sampled=corpus.unseen > 0)
    return Quality(encoded.max_length, recall, float(found.ndcg[core].mean()))


def survey(encoded: Encoded, queries: Queries, corpus: Corpus, dimensions: Sequence[int]) -> Survey:
    """Measure recall at full width and at each of `dimensions`, for all queries and in each slice.

    There is at least one query.
    """
    widths = sorted({encoded.documents.shape[1], *dimensions}, reverse=True)
    slices = (Slice(ALL, tuple(range(queries.core))), *queries.slices)
    together = len(widths) * len(slices) + len(widths) - 1
    found = {width: _estimate(encoded, queries, corpus, width) for width in widths}
    is_sampled = corpus.unseen > 0
    cells = tuple(
        _measure_cell(found[width], width, entry, queries, together, is_sampled=is_sampled)
        for width, entry in product(widths, slices)
    )
    groups = queries.groups[: queries.core]
    if len(set(groups)) < SMALLEST_SLICE:
        return Survey(cells, (), queries.few)
    full, *narrower = (found[width].recall[: queries.core] for width in widths)
    kept: list[Kept] = []
    if full.any():
        for width, recall in zip(widths[1:], narrower, strict=True):
            kept.append(Kept(width, ratio_interval(recall, full, groups, together=together)))
    outranked = ratio_interval(
        found[widths[0]].outranked[: queries.core], np.ones(queries.core), groups
    )
    return Survey(cells, tuple(kept), queries.few, outranked)


def _measure_cell(
    found: Estimates, width: int, entry: Slice, queries: Queries, together: int, *, is_sampled: bool
) -> Cell:
    values = _recall(found, queries, entry)
    groups = [queries.groups[line] for line in entry.lines]
    return Cell(
        entry.name,
        width,
        len(values),
        len(set(groups)),
        recall=interval(values, groups, is_sampled=is_sampled),
        sure=interval(values, groups, is_sampled=is_sampled, together=together),
    )


def _estimate(encoded: Encoded, queries: Queries, corpus: Corpus, width: int) -> Estimates:
    row_ids = [row_id for row_id, _ in (*corpus.forced, *corpus.drawn)]
    asked = truncate(encoded.queries, width)
    documents = truncate(encoded.documents, width)
    return estimate(asked, documents, row_ids, len(corpus.drawn), queries.positives, corpus.unseen)


def _recall(found: Estimates, queries: Queries, entry: Slice) -> Floats:
    """Each query's share of the positives that count in the slice and are among the first ten."""
    if entry.document_language is None:
        return found.recall[list(entry.lines)]
    shares = []
    for line in entry.lines:
        chances = found.chances[line]
        counted = [
            chances[name] for name in chances if queries.languages[name] == entry.document_language
        ]
        shares.append(sum(counted) / len(counted))
    return np.array(shares)

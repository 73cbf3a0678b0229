"""Tell which documents are judged for a query, and which of a document's rows is nearest to it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from medembed.encoding.table import Table
from medembed.mining.texts import CorpusRows
from medembed.schema import own_document
from medembed.search.corpus import Pairs, SortedCorpus, score_pairs
from medembed.search.float64_scores import Vectors, unit_rows

_PAIRS = 16_384  # judged pairs whose vectors are in memory together

Judgments = Mapping[str, Mapping[str, float]]  # query_id -> {document_id: score}


@dataclass(frozen=True)
class Positive:
    """The corpus row of a positive that its query scores highest, scored as `Negative` is."""

    row_id: str
    score: float
    second: float | None = None


class JudgedDocument(NamedTuple):
    """A query and a document that is judged for it."""

    query_id: str
    document_id: str


class ScoredRow(NamedTuple):
    """A corpus row and its score with a query."""

    row_id: str
    score: float


def known_positives(*judgments: Judgments) -> dict[str, set[str]]:
    """Return {query_id: documents that any of these judgments say answer it, or its own text}.

    Judgments that no split may use count too.
    """
    known: dict[str, set[str]] = defaultdict(set)
    for judged in judgments:
        for query_id, grades in judged.items():
            known[query_id] |= {document_id for document_id, grade in grades.items() if grade > 0}
            own = own_document(query_id)
            if own is not None:
                known[query_id].add(own)
    return dict(known)


def judged_negatives(
    qrels: Judgments, known: Mapping[str, Collection[str]], queries: Iterable[str]
) -> list[JudgedDocument]:
    """Return what is judged not to answer these queries, without their `known` positives.

    They are in the order of the queries, then of document ids.
    """
    negatives = []
    for query_id in queries:
        for document_id, grade in sorted(qrels.get(query_id, {}).items()):
            if grade <= 0 and document_id not in known[query_id]:
                negatives.append(JudgedDocument(query_id, document_id))
    return negatives


def nearest_rows(
    queries: Vectors,
    line_of: Mapping[str, int],
    asked: Sequence[JudgedDocument],
    rows: CorpusRows,
    table: Table,
    dimensions: int,
) -> list[ScoredRow | None]:
    """Return the row of each document that its query scores highest; ties go to the smaller row id.

    queries float32 [Q, D]; `line_of` {query id: its line there}. Scores are those of the search to
    the last bit. None for a document of which the table has no row: it crashes the encoder.
    """
    nearest: list[ScoredRow | None] = []
    for start in range(0, len(asked), _PAIRS):
        names = []
        lines = []
        for query_id, document_id in asked[start : start + _PAIRS]:
            names.append(document_id)
            lines.append(line_of[query_id])
        embeddings = table.find(rows.rows_of(names))
        parts = [([*embeddings], np.stack([*embeddings.values()]))] if embeddings else []
        corpus = SortedCorpus.of(parts, [dimensions], by_document=True)
        of_queries = unit_rows(queries[np.asarray(lines)], dimensions).rows
        pairs = Pairs(np.arange(len(names)), np.asarray(names, dtype=np.str_))
        ranking = score_pairs(of_queries, corpus, pairs)
        scores = ranking.scores[:, 0].tolist()
        for name, score in zip(ranking.row_ids[:, 0].tolist(), scores, strict=True):
            nearest.append(ScoredRow(name, score) if name else None)
    return nearest

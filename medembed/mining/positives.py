"""Which documents are judged for a query, and by which of its rows a judged document is found."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from medembed.encoding.table import Table
from medembed.mining.texts import CorpusRows
from medembed.search.float64_scores import pair_scores, unit_rows

_PAIRS = 16_384  # judged pairs whose vectors are in memory together


@dataclass(frozen=True)
class Positive:
    """The corpus row of a positive document that its query scores highest, with its scores as
    `Negative` has them.
    """

    row_id: str
    score: float
    second: float | None = None


Judgments = Mapping[str, Mapping[str, float]]  # query_id -> {document_id: score}


def known_positives(*judgments: Judgments) -> dict[str, set[str]]:
    """query_id -> documents that any of these judgments say answer it; those that no split may use
    count too.
    """
    known: dict[str, set[str]] = defaultdict(set)
    for judged in judgments:
        for query_id, grades in judged.items():
            known[query_id] |= {document_id for document_id, grade in grades.items() if grade > 0}
    return dict(known)


def judged_negatives(
    qrels: Judgments, known: Mapping[str, Collection[str]], queries: Iterable[str]
) -> list[tuple[str, str]]:
    """(query_id, document_id) of what is judged not to answer these queries and no `known`
    positive, in the order of the queries, then of documents."""
    return [
        (query_id, name)
        for query_id in queries
        for name, grade in sorted(qrels.get(query_id, {}).items())
        if grade <= 0 and name not in known[query_id]
    ]


def best_rows(
    queries: npt.NDArray[np.float32],
    lines: Sequence[int],
    documents: Sequence[str],
    rows: CorpusRows,
    table: Table,
    dimensions: int,
) -> list[tuple[str, float] | None]:
    """(row id, score) of each document's row that its query scores highest; ties to the smaller row
    id.

    queries float32 [Q, D]; `lines` [n] and `documents` [n] are pairs of a query's line and a
    document. Scores are those of the search to the last bit. None for a document of which the table
    has no row: it crashes the encoder.
    """
    found: list[tuple[str, float] | None] = []
    for start in range(0, len(documents), _PAIRS):
        groups = [rows.rows_of([name]) for name in documents[start : start + _PAIRS]]
        asked = unit_rows(queries[np.asarray(lines[start : start + _PAIRS])], dimensions)[0]
        found += _best_of(asked, groups, table, dimensions)
    return found


def _best_of(
    queries: npt.NDArray[np.float32], groups: Sequence[Sequence[str]], table: Table, dimensions: int
) -> list[tuple[str, float] | None]:
    """The best of each group of rows for the query [n, D] beside it."""
    held = table.find(name for group in groups for name in group)
    line = {name: number for number, name in enumerate(held)}
    groups = [[name for name in group if name in line] for group in groups]
    query_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    vector_of = np.array([line[name] for group in groups for name in group], dtype=np.int64)
    vectors = np.stack(list(held.values())) if held else np.zeros((0, queries.shape[1]), np.float32)
    scores = iter(
        pair_scores(queries, query_of, unit_rows(vectors, dimensions)[0], vector_of).tolist()
    )
    return [
        max(zip(group, scores, strict=False), key=itemgetter(1)) if group else None
        for group in groups
    ]

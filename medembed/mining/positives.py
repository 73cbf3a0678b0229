"""Which documents are judged for a query, and by which of its rows a judged document is found."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from medembed.encoding.table import Table
from medembed.mining.texts import CorpusRows
from medembed.search.precise import pair_scores, unit_rows

_PAIRS = 16_384  # judged pairs whose vectors are in memory together


@dataclass(frozen=True)
class Positive:
    """The corpus row of a positive document that its query scores highest, with its scores as `Negative` has them."""

    row_id: str
    score: float
    second: float | None = None


Judgments = Mapping[str, Mapping[str, float]]  # query_id -> {document_id: score}


def known_positives(*judgments: Judgments) -> dict[str, set[str]]:
    """query_id -> documents that any of these judgments say answer it; those that no split may use count too."""
    known: dict[str, set[str]] = defaultdict(set)
    for judged in judgments:
        for query_id, grades in judged.items():
            known[query_id] |= {document_id for document_id, grade in grades.items() if grade > 0}
    return dict(known)


def judged_negatives(
    qrels: Judgments, known: Mapping[str, Collection[str]], queries: Iterable[str]
) -> list[tuple[str, str]]:
    """(query_id, document_id) of what is judged not to answer these queries and no `known` positive, in the
    order of the queries, then of documents."""
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
) -> list[tuple[str, float]]:
    """(row id, score) of each document's row that its query scores highest; ties to the smaller row id.

    queries float32 [Q, D]; `lines` [n] and `documents` [n] are pairs of a query's line and a document. Scores
    are those of the search to the last bit. Raises StorageError if a row is not in the table.
    """
    asked, found = unit_rows(queries, dimensions)[0], []
    for start in range(0, len(documents), _PAIRS):
        groups = [rows.rows_of([name]) for name in documents[start : start + _PAIRS]]
        found += _best_of(asked[np.asarray(lines[start : start + _PAIRS])], groups, table, dimensions)
    return found


def _best_of(
    queries: npt.NDArray[np.float32], groups: Sequence[Sequence[str]], table: Table, dimensions: int
) -> list[tuple[str, float]]:
    """The best of each group of rows for the query [n, D] beside it."""
    names = list(dict.fromkeys(name for group in groups for name in group))
    vectors, line = unit_rows(table.lookup(names), dimensions)[0], {name: number for number, name in enumerate(names)}
    query_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    vector_of = np.array([line[name] for group in groups for name in group], dtype=np.int64)
    scores = pair_scores(queries, query_of, vectors, vector_of).tolist()
    remaining = iter(scores)
    return [max(zip(group, remaining, strict=False), key=itemgetter(1)) for group in groups]

"""Tell which documents are judged for a query, and which of a document's rows is nearest to it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medembed.encoding.table import Table
from medembed.mining.texts import CorpusRows
from medembed.search.float64_scores import pair_scores, unit_rows

_PAIRS = 16_384  # judged pairs whose vectors are in memory together

Judgments = Mapping[str, Mapping[str, float]]  # query_id -> {document_id: score}


@dataclass(frozen=True)
class Positive:
    """The corpus row of a positive that its query scores highest, scored as `Negative` is."""

    row_id: str
    score: float
    second: float | None = None


class Judged(NamedTuple):
    """A query and a document that is judged for it."""

    query_id: str
    document_id: str


class ScoredRow(NamedTuple):
    """A corpus row and its score with a query."""

    row_id: str
    score: float


def known_positives(*judgments: Judgments) -> dict[str, set[str]]:
    """Return {query_id: documents that any of these judgments say answer it}.

    Judgments that no split may use count too.
    """
    known: dict[str, set[str]] = defaultdict(set)
    for judged in judgments:
        for query_id, grades in judged.items():
            known[query_id] |= {document_id for document_id, grade in grades.items() if grade > 0}
    return dict(known)


def judged_negatives(
    qrels: Judgments, known: Mapping[str, Collection[str]], queries: Iterable[str]
) -> list[Judged]:
    """Return what is judged not to answer these queries, and is no `known` positive of theirs.

    They are in the order of the queries, then of document ids.
    """
    negatives = []
    for query_id in queries:
        for document_id, grade in sorted(qrels.get(query_id, {}).items()):
            if grade <= 0 and document_id not in known[query_id]:
                negatives.append(Judged(query_id, document_id))
    return negatives


def nearest_rows(
    queries: npt.NDArray[np.float32],
    lines: Sequence[int],
    documents: Sequence[str],
    rows: CorpusRows,
    table: Table,
    dimensions: int,
) -> list[ScoredRow | None]:
    """Return the row of each document that its query scores highest; ties go to the smaller row id.

    queries float32 [Q, D]; `lines` [n] and `documents` [n] are pairs of a query's line and a
    document. Scores are those of the search to the last bit. None for a document of which the table
    has no row: it crashes the encoder.
    """
    nearest: list[ScoredRow | None] = []
    for start in range(0, len(documents), _PAIRS):
        groups = [rows.rows_of([name]) for name in documents[start : start + _PAIRS]]
        asked = unit_rows(queries[np.asarray(lines[start : start + _PAIRS])], dimensions)[0]
        nearest += _nearest_of(asked, groups, table, dimensions)
    return nearest


def _nearest_of(
    queries: npt.NDArray[np.float32], groups: Sequence[Sequence[str]], table: Table, dimensions: int
) -> list[ScoredRow | None]:
    """Return the nearest of each group of rows to the query [n, D] beside it."""
    embeddings = table.find(chain.from_iterable(groups))
    line_of = {name: line for line, name in enumerate(embeddings)}
    names: list[str] = []
    query_of: list[int] = []
    for number, group in enumerate(groups):
        present = [name for name in group if name in line_of]
        names += present
        query_of += [number] * len(present)
    if not names:
        return [None] * len(groups)

    vectors = unit_rows(np.stack(list(embeddings.values())), dimensions)[0]
    vector_of = np.array([line_of[name] for name in names], dtype=np.int64)
    scores = pair_scores(queries, np.array(query_of, dtype=np.int64), vectors, vector_of)
    nearest: list[ScoredRow | None] = [None] * len(groups)
    for number, name, score in zip(query_of, names, scores.tolist(), strict=True):
        best = nearest[number]
        if best is None or score > best.score:
            nearest[number] = ScoredRow(name, score)
    return nearest

"""Which documents are known to answer a query, and by which of its rows a positive document is found."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from medembed.data.dataset import Dataset
from medembed.encoding.table import Table
from medembed.schema import document_of

_PRODUCTS = 65_536  # dot products at once: 0.2 GB at 384 dimensions


def known_positives(dataset: Dataset) -> dict[str, set[str]]:
    """query_id -> documents judged to answer it, in judgments that no split may use as well."""
    known: dict[str, set[str]] = defaultdict(set)
    for judgments in (dataset.qrels(), dataset.held_out()):
        for query_id, grades in judgments.items():
            known[query_id] |= {document_id for document_id, grade in grades.items() if grade > 0}
    return dict(known)


def chunks_by_document(row_ids: Iterable[str]) -> dict[str, list[str]]:
    """document_id -> its rows in the order of their ids, for the documents that are in chunks."""
    chunks: dict[str, list[str]] = defaultdict(list)
    for row_id in sorted(row_ids):
        document_id = document_of(row_id)
        if document_id != row_id:
            chunks[document_id].append(row_id)
    return dict(chunks)


def best_rows(
    queries: npt.NDArray[np.float32], documents: Sequence[str], chunks: dict[str, list[str]], table: Table
) -> list[tuple[str, float]]:
    """(row id, score) of each document's row that its query scores highest; ties to the smaller row id.

    queries [n, D] and documents [n] are pairs. A document that `chunks` does not name is its own row.
    Raises StorageError if a row is not in the table.
    """
    rows = [chunks.get(document_id, [document_id]) for document_id in documents]
    names = list(dict.fromkeys(name for group in rows for name in group))
    vectors, line = table.lookup(names), {name: number for number, name in enumerate(names)}
    query_of = np.repeat(np.arange(len(rows)), [len(group) for group in rows])
    vector_of = np.array([line[name] for group in rows for name in group])
    scores: list[float] = []
    for start in range(0, len(query_of), _PRODUCTS):
        part = slice(start, start + _PRODUCTS)
        scores += np.einsum("nd,nd->n", queries[query_of[part]], vectors[vector_of[part]]).tolist()
    remaining = iter(scores)
    return [max(zip(group, remaining, strict=False), key=itemgetter(1)) for group in rows]

"""A source -> a data set: read, clean, split, check for leaks, write."""

import logging
from collections import Counter
from typing import Any

from medembed import storage
from medembed.artifact import NewOutput, find_output, place
from medembed.data.cleaning import CleanRows, clean
from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import KIND, Dataset, to_table, write_dataset
from medembed.data.readers import read_rows
from medembed.data.splits import HELD_OUT, assign_splits, check_leaks
from medembed.errors import DataError, StorageError
from medembed.schema import CORPUS, QRELS, QUERIES, content_hash, fingerprint

logger = logging.getLogger(__name__)


def prepare(source: SourceConfig, splits: SplitConfig, output: str) -> Dataset:
    """The data set of a source at `output`; found again if source bytes and config are unchanged.

    Raises DataError for malformed rows, an empty source or a leak, StorageError for places out of reach.
    """
    key = source_key(source, splits)
    output = place(output, key)
    manifest = find_output(output, KIND, key)
    if manifest is not None:
        logger.info("data set %s: unchanged, reused", manifest["fingerprint"])
        return Dataset(output, manifest)
    rows = clean(read_rows(source))
    assigned = assign_splits(rows.queries, rows.documents, rows.judgments.values(), splits)
    check_leaks(rows.queries, rows.documents, rows.judgments.values(), assigned)
    rows.dropped["query whose positives lie in different splits"] += _hold_out(rows, assigned)
    if not rows.queries:
        raise DataError(f"{source.path}: no usable pair found; dropped: {dict(rows.dropped) or 'nothing'}.")
    with NewOutput(output, KIND, key) as target:
        return write_dataset(target, _tables(rows, assigned), _entries(source, splits, rows, assigned))


def check_source(source: SourceConfig) -> None:
    """Raises StorageError if there is no such source."""
    if not storage.exists(source.path):
        raise StorageError(f"{source.path}: no such file.")


def source_key(source: SourceConfig, splits: SplitConfig) -> str:
    """Fingerprint of all that determines the data set: the source's bytes, its reading, the split."""
    settings = {"source": source.model_dump(), "splits": splits.model_dump()}
    return fingerprint([settings, content_hash(storage.read_bytes(source.path))])


def _hold_out(rows: CleanRows, assigned: dict[str, str]) -> int:
    """Removes queries that belong to no split, and their judgments; returns how many."""
    held = {query_id for query_id, split in assigned.items() if split == HELD_OUT}
    rows.queries = {query_id: row for query_id, row in rows.queries.items() if query_id not in held}
    rows.judgments = {pair: row for pair, row in rows.judgments.items() if row.query_id not in held}
    return len(held)


def _tables(rows: CleanRows, assigned: dict[str, str]) -> dict[str, Any]:
    corpus = [
        {
            "document_id": row.document_id,
            "text": row.text,
            "language": row.language,
            "content_hash": content_hash(row.text),
        }
        for row in rows.documents.values()
    ]
    queries = [
        {
            "query_id": row.query_id,
            "text": row.text,
            "language": row.language,
            "tags": list(row.tags),
            "group_id": row.group_id,
            "split": assigned[row.query_id],
        }
        for row in rows.queries.values()
    ]
    qrels = [
        {"query_id": row.query_id, "document_id": row.document_id, "score": row.score}
        for row in rows.judgments.values()
    ]
    return {"corpus": to_table(corpus, CORPUS), "queries": to_table(queries, QUERIES), "qrels": to_table(qrels, QRELS)}


def _entries(source: SourceConfig, splits: SplitConfig, rows: CleanRows, assigned: dict[str, str]) -> dict[str, Any]:
    return {
        "source": source.path,
        "licence": source.licence,
        "languages": sorted({row.language for row in rows.documents.values()}),
        "counts": {"documents": len(rows.documents), "queries": len(rows.queries), "judgments": len(rows.judgments)},
        "splits": dict(sorted(Counter(assigned[query_id] for query_id in rows.queries).items())),
        "dropped": {reason: count for reason, count in sorted(rows.dropped.items()) if count},
        "config": {"source": source.model_dump(), "splits": splits.model_dump()},
    }

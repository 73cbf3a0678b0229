"""Training queries -> examples: (query, positive, hard negatives) as Parquet beside a manifest."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed import storage
from medembed.artifact import NewOutput, find_output, place, read_manifest
from medembed.data.dataset import Dataset, to_table
from medembed.encoding.config import EncodingConfig
from medembed.encoding.table import Table, read_shard
from medembed.encoding.texts import encode_queries
from medembed.errors import DataError
from medembed.mining.config import MiningConfig
from medembed.mining.negatives import Negative, choose_negatives
from medembed.mining.positives import best_rows, chunks_by_document, known_positives
from medembed.schema import EXAMPLES, content_hash, fingerprint
from medembed.search.sharded import search_shards

logger = logging.getLogger(__name__)

KIND = "examples"
_ROWS_PER_FILE = 8192


@dataclass(frozen=True)
class Examples:
    """Finished training examples: where they lie and what their manifest says."""

    uri: str
    manifest: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["key"])

    def read(self) -> list[dict[str, Any]]:
        """All examples, columns `schema.EXAMPLES`."""
        return [
            row
            for name in self.manifest["files"]
            for row in storage.read_parquet(storage.join(self.uri, name)).to_pylist()
        ]


@dataclass(frozen=True)
class Pair:
    """A training query with one document that answers it, named as the judgments name it."""

    query_id: str
    query: str
    positive_id: str


@dataclass(frozen=True)
class Nearest:
    """A query's nearest documents with their scores, best first.

    `chunks` names the row by which each was found; it is empty if no document is in chunks.
    """

    documents: list[tuple[str, float]]
    chunks: dict[str, str]


def open_examples(uri: str) -> Examples:
    """The examples at `uri`. Raises StorageError if there are none."""
    return Examples(uri, read_manifest(uri, KIND))


def mine(
    dataset: Dataset, table: Table, model: str, output: str, config: MiningConfig, encoding: EncodingConfig
) -> Examples:
    """Examples of the data set's training pairs with negatives from `table`; found again if nothing changed.

    Ranks and window count documents; of one in chunks the query's best chunk stands in the example. Hardest
    negative first. A pair for which the margin leaves too few is kept with those that there are, and
    counted: often the model ranks its positive badly, and it is what training needs most. Raises DataError if
    there is no training pair.
    """
    key = fingerprint([dataset.fingerprint, table.info.encoder, config.model_dump()])
    output = place(output, key)
    manifest = find_output(output, KIND, key)
    if manifest is not None:
        logger.info("examples %s: unchanged, reused", key)
        return Examples(output, manifest)
    pairs = select_pairs(dataset, config)
    rows, counts = _mine_pairs(pairs, dataset, table, model, config, encoding)
    if not rows:
        raise DataError(f"{dataset.uri}: no training pair; add pairs, or lower splits.dev and splits.test.")
    with NewOutput(output, KIND, key) as target:
        for number, start in enumerate(range(0, len(rows), _ROWS_PER_FILE)):
            part = to_table(rows[start : start + _ROWS_PER_FILE], EXAMPLES)
            target.write_parquet(f"part-{number:05d}.parquet", part)
        entries = {
            "dataset": dataset.fingerprint,
            "encoder": table.info.encoder,
            "width": table.info.width,
            "table": {"uri": table.uri, "version": table.version},
            "counts": dict(counts),
            "config": config.model_dump(),
        }
        return Examples(output, target.commit(entries))


def select_pairs(dataset: Dataset, config: MiningConfig) -> list[Pair]:
    """Training pairs in an order that a hash decides, those with `prefer_tag` first, cut at `max_pairs`.

    A query without a positive gives none; logs how many those are.
    """
    qrels, queries = dataset.qrels(), dataset.queries("train").to_pylist()
    ordered = [
        (config.prefer_tag not in row["tags"], content_hash(f"{row['query_id']} {document_id}"), row, document_id)
        for row in queries
        for document_id, score in qrels.get(row["query_id"], {}).items()
        if score > 0
    ]
    unanswered = len(queries) - len({row["query_id"] for _, _, row, _ in ordered})
    if unanswered:
        logger.info("%d training queries without a positive are not mined", unanswered)
    ordered.sort(key=lambda entry: entry[:2])
    return [Pair(row["query_id"], row["text"], document_id) for _, _, row, document_id in ordered[: config.max_pairs]]


def _mine_pairs(
    pairs: Sequence[Pair], dataset: Dataset, table: Table, model: str, config: MiningConfig, encoding: EncodingConfig
) -> tuple[list[dict[str, Any]], Counter[str]]:
    if not pairs:
        return [], Counter(pairs=0)
    known = known_positives(dataset)
    texts = dict(zip(*dataset.corpus().select(["document_id", "text"]).to_pydict().values(), strict=True))
    queries = {pair.query_id: pair.query for pair in pairs}
    embeddings = encode_queries(list(queries.values()), model, encoding)
    depth = config.window + max(len(known[query_id]) for query_id in queries)
    nearest = dict(zip(queries, _search(embeddings, depth, table, encoding), strict=True))
    line = {query_id: number for number, query_id in enumerate(queries)}
    asked = embeddings[[line[pair.query_id] for pair in pairs]]
    positives = best_rows(asked, [pair.positive_id for pair in pairs], chunks_by_document(texts), table)
    rows, counts = [], Counter(pairs=len(pairs))
    for pair, positive in zip(pairs, positives, strict=True):
        near = nearest[pair.query_id]
        # Documents of different texts may have a chunk in common, such as a standing notice.
        copies = {name for name, row_id in near.chunks.items() if texts[row_id] == texts[positive[0]]}
        choice = choose_negatives(near.documents, positive[1], known[pair.query_id], config, copies=copies)
        counts["candidates above the margin"] += choice.too_close
        counts["pairs with fewer negatives than asked"] += len(choice.negatives) < config.negatives
        rows.append(_example(pair, positive, choice.negatives, near.chunks, texts))
    counts["examples"] = len(rows)
    return rows, counts


def _search(queries: npt.NDArray[np.float32], depth: int, table: Table, encoding: EncodingConfig) -> Iterator[Nearest]:
    """The `depth` nearest documents of each query, in the order of `queries` [Q, D]."""
    width = table.info.width
    shards = [(shard, shard["rows"]) for shard in table.shards()]
    found = search_shards(shards, read_shard, queries, depth, [width], by_document=True, workers=encoding.most_workers)
    ids, scores, rows = found[width].ids.tolist(), found[width].scores.tolist(), found[width].rows
    for number in range(len(queries)):
        documents = [(name, score) for name, score in zip(ids[number], scores[number], strict=True) if name]
        chunks = {} if rows is None else dict(zip(ids[number], rows[number].tolist(), strict=True))
        chunks.pop("", None)  # stands where there are fewer documents than `depth`
        yield Nearest(documents, chunks)


def _example(
    pair: Pair,
    positive: tuple[str, float],
    negatives: Sequence[Negative],
    chunks: dict[str, str],
    texts: dict[str, str],
) -> dict[str, Any]:
    """`positive` is (row id, score); `chunks` names the rows of those negatives that are documents in chunks."""
    row_id, score = positive
    negative_ids = [chunks.get(negative.document_id, negative.document_id) for negative in negatives]
    return {
        "query_id": pair.query_id,
        "query": pair.query,
        "positive_id": row_id,
        "positive": texts[row_id],
        "negative_ids": negative_ids,
        "negatives": [texts[negative_id] for negative_id in negative_ids],
        "positive_score": score,
        "negative_scores": [negative.score for negative in negatives],
        "negative_ranks": [negative.rank for negative in negatives],
    }

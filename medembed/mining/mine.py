"""Training queries -> examples: (query, positive, hard negatives) as Parquet beside a manifest."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medembed import storage
from medembed.artifact import NewOutput, find_output, place, read_manifest
from medembed.data.dataset import Dataset, to_table
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_queries
from medembed.encoding.table import Table, read_shard
from medembed.errors import DataError
from medembed.mining.config import MiningConfig
from medembed.mining.negatives import Negative, choose_negatives
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
    """A training query with one document that answers it."""

    query_id: str
    query: str
    positive_id: str


def open_examples(uri: str) -> Examples:
    """The examples at `uri`. Raises StorageError if there are none."""
    return Examples(uri, read_manifest(uri, KIND))


def mine(
    dataset: Dataset, table: Table, model: str, output: str, config: MiningConfig, encoding: EncodingConfig
) -> Examples:
    """Examples of the data set's training pairs with negatives from `table`; found again if nothing changed.

    Hardest negative first. A pair for which the margin leaves too few is kept with those that there are, and
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
    """Training pairs in an order that a hash decides, those with `prefer_tag` first, cut at `max_pairs`."""
    qrels = dataset.qrels()
    ordered = [
        (config.prefer_tag not in row["tags"], content_hash(f"{row['query_id']} {document_id}"), row, document_id)
        for row in dataset.queries("train").to_pylist()
        for document_id, score in qrels[row["query_id"]].items()
        if score > 0
    ]
    ordered.sort(key=lambda entry: entry[:2])
    return [Pair(row["query_id"], row["text"], document_id) for _, _, row, document_id in ordered[: config.max_pairs]]


def _mine_pairs(
    pairs: Sequence[Pair], dataset: Dataset, table: Table, model: str, config: MiningConfig, encoding: EncodingConfig
) -> tuple[list[dict[str, Any]], Counter[str]]:
    if not pairs:
        return [], Counter(pairs=0)
    qrels = dataset.qrels()
    texts = dict(zip(*dataset.corpus().select(["document_id", "text"]).to_pydict().values(), strict=True))
    candidates, positive_scores = _score(pairs, max(map(len, qrels.values())), table, model, config, encoding)
    rows, counts = [], Counter(pairs=len(pairs))
    for pair, positive_score in zip(pairs, positive_scores, strict=True):
        positives = {name for name, grade in qrels[pair.query_id].items() if grade > 0}
        choice = choose_negatives(candidates[pair.query_id], positive_score, positives, config)
        counts["candidates above the margin"] += choice.too_close
        counts["pairs with fewer negatives than asked"] += len(choice.negatives) < config.negatives
        rows.append(_example(pair, positive_score, choice.negatives, texts))
    counts["examples"] = len(rows)
    return rows, counts


def _score(
    pairs: Sequence[Pair], judged: int, table: Table, model: str, config: MiningConfig, encoding: EncodingConfig
) -> tuple[dict[str, list[tuple[str, float]]], list[float]]:
    """(query_id -> nearest documents with scores, score of each pair's positive).

    `judged` documents of a query at most are known positives; the search goes that much deeper than the window.
    """
    texts = {pair.query_id: pair.query for pair in pairs}
    embeddings = encode_queries(list(texts.values()), model, encoding)
    width = table.info.width
    shards = [(shard, shard["rows"]) for shard in table.shards()]
    found = search_shards(shards, read_shard, embeddings, config.window + judged, [width], workers=encoding.workers)
    nearest = {
        query_id: [(name, score) for name, score in zip(names, scores, strict=True) if name]
        for query_id, names, scores in zip(texts, found[width].ids.tolist(), found[width].scores.tolist(), strict=True)
    }
    line = {query_id: number for number, query_id in enumerate(texts)}
    queries = embeddings[[line[pair.query_id] for pair in pairs]]
    positives = table.lookup([pair.positive_id for pair in pairs])
    return nearest, np.einsum("nd,nd->n", queries, positives).tolist()


def _example(pair: Pair, score: float, negatives: Sequence[Negative], texts: dict[str, str]) -> dict[str, Any]:
    return {
        "query_id": pair.query_id,
        "query": pair.query,
        "positive_id": pair.positive_id,
        "positive": texts[pair.positive_id],
        "negative_ids": [negative.document_id for negative in negatives],
        "negatives": [texts[negative.document_id] for negative in negatives],
        "positive_score": score,
        "negative_scores": [negative.score for negative in negatives],
        "negative_ranks": [negative.rank for negative in negatives],
    }

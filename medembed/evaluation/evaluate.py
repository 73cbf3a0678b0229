"""A model on a data set -> metrics per dimension and per query, on storage."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed import storage
from medembed.artifact import NewOutput, find_output, place
from medembed.data.dataset import Dataset, to_table
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import encode_queries
from medembed.encoding.table import Table, read_shard
from medembed.errors import DataError
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import DEPTH, measure
from medembed.matryoshka import check_dimensions
from medembed.schema import QUERY_METRICS, fingerprint
from medembed.search.sharded import search_shards
from medembed.search.topk import Ranking

logger = logging.getLogger(__name__)

KIND = "evaluation"
PerQuery = dict[int, dict[str, npt.NDArray[np.float64]]]


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one model: means as {dimension: {metric: mean}}, and every query's values in order."""

    uri: str
    metrics: dict[int, dict[str, float]]
    per_query: PerQuery
    query_ids: tuple[str, ...]
    groups: tuple[str, ...]


def evaluate(
    dataset: Dataset, table: Table, model: str, output: str, config: EvaluationConfig, encoding: EncodingConfig
) -> Evaluation:
    """Ranks all documents of the corpus for each query at each dimension; found again if nothing changed.

    Queries without a positive are left out. Writes metrics.json and per_query.parquet. Raises DataError if no
    query is left to measure, ModelError for a dimension above the table's width.
    """
    dimensions = config.dimensions or table.info.dimensions or (table.info.width,)
    check_dimensions(dimensions, table.info.width)
    key = fingerprint([dataset.fingerprint, table.info.encoder, config.model_dump(), dimensions])
    output = place(output, key)
    if find_output(output, KIND, key) is not None:
        logger.info("evaluation %s: unchanged, reused", key)
        return _read(output)
    qrels = dataset.qrels()
    queries = keep_measurable(dataset.queries(config.split, config.tag), qrels)
    queries = queries.sort_by("query_id")  # whatever order the source had
    if not queries.num_rows:
        raise DataError(
            f"{dataset.uri}: no query with split={config.split} tag={config.tag} has a positive; nothing to measure."
        )
    embeddings = encode_queries(queries["text"].to_pylist(), model, encoding)
    shards = [(shard, shard["rows"]) for shard in table.shards()]
    rankings = search_shards(
        shards, read_shard, embeddings, DEPTH, dimensions, by_document=True, workers=encoding.workers
    )
    per_query = score_rankings(rankings, queries["query_id"].to_pylist(), qrels)
    result = _summarize(output, per_query, queries["query_id"].to_pylist(), queries["group_id"].to_pylist())
    with NewOutput(output, KIND, key) as target:
        target.write_bytes("metrics.json", json.dumps(result.metrics, indent=2).encode())
        target.write_parquet("per_query.parquet", _to_rows(result))
        target.commit({"dataset": dataset.fingerprint, "encoder": table.info.encoder, "config": config.model_dump()})
    return result


def keep_measurable(queries: pa.Table, qrels: dict[str, dict[str, float]]) -> pa.Table:
    """The queries that have a positive, in this order: for the others the ideal DCG is 0. Logs how many those are."""
    judged = [qrels.get(query_id, {}).values() for query_id in queries["query_id"].to_pylist()]
    keep = [any(grade > 0 for grade in grades) for grades in judged]
    if not all(keep):
        logger.info("%d queries without a positive are not measured", keep.count(False))
    return queries.filter(pa.array(keep, pa.bool_()))


def score_rankings(
    rankings: dict[int, Ranking], query_ids: Sequence[str], qrels: dict[str, dict[str, float]]
) -> PerQuery:
    """{dimension: {metric: a value per query}} of ranked documents; each query has a positive. Pure."""
    judged = [[grade for grade in qrels[query_id].values() if grade > 0] for query_id in query_ids]
    return {
        dimension: measure(_grades(ranking, query_ids, qrels), judged)
        for dimension, ranking in sorted(rankings.items(), reverse=True)
    }


def _grades(ranking: Ranking, query_ids: Sequence[str], qrels: dict[str, dict[str, float]]) -> npt.NDArray[np.float64]:
    return np.array(
        [
            [max(qrels[query_id].get(name, 0.0), 0.0) for name in names]
            for query_id, names in zip(query_ids, ranking.ids.tolist(), strict=True)
        ]
    )


def _summarize(uri: str, per_query: PerQuery, query_ids: Sequence[str], groups: Sequence[str]) -> Evaluation:
    means = {d: {name: float(values.mean()) for name, values in named.items()} for d, named in per_query.items()}
    return Evaluation(uri, means, per_query, tuple(query_ids), tuple(groups))


def _to_rows(result: Evaluation) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {"query_id": query_id, "group_id": group, "dimension": dimension, "metric": name, "value": value}
        for dimension, named in result.per_query.items()
        for name, values in named.items()
        for query_id, group, value in zip(result.query_ids, result.groups, values.tolist(), strict=True)
    ]
    return to_table(rows, QUERY_METRICS)


def _read(uri: str) -> Evaluation:
    rows = storage.read_parquet(storage.join(uri, "per_query.parquet")).to_pylist()
    groups: dict[str, str] = {row["query_id"]: row["group_id"] for row in rows}
    values: dict[int, dict[str, list[float]]] = {}
    for row in rows:
        values.setdefault(row["dimension"], {}).setdefault(row["metric"], []).append(row["value"])
    per_query = {d: {name: np.array(column) for name, column in named.items()} for d, named in values.items()}
    return _summarize(uri, per_query, list(groups), list(groups.values()))

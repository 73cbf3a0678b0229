"""Write and read an evaluation: means as JSON, the values of every unit as Parquet."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medembed import storage
from medembed.artifact import NewOutput, read_manifest
from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import CaseOutcome
from medembed.evaluation.result import Evaluation, Measured, Scored, Units
from medembed.lineage import EvaluationManifest
from medembed.schema import BEST
from medembed.search.ranking import Ranking

RANKS_KEPT = 10
_IDS = {"queries": "query_id", "documents": "document_id", "pairs": "pair_id"}
_UNITS = ["group_id", "language", "tags", "dimension"]  # after the column of ids
_WEIGHT = "weight of "
_COSINE = "cosine of best "


def write_evaluation(target: NewOutput, result: Evaluation, best: Sequence[pa.Table]) -> None:
    """Write metrics.json {dimension: {metric: mean}}, slices.json, and a Parquet file per family.

    `best` are tables of columns BEST: what each query found first.
    """
    target.write_bytes("metrics.json", to_json(result.metrics))
    target.write_bytes("slices.json", to_json(nest_slices(result)))
    families: dict[str, Measured | None] = {
        "queries": result.queries,
        "documents": result.documents,
    }
    if result.pairs is not None:
        cosines = {d: {"cosine": row} for d, row in result.pairs.cosines.items()}
        weights = {"cosine": result.pairs.similarity}
        families["pairs"] = Measured(result.pairs.units, cosines, weights, {})
    for name, family in families.items():
        if family is not None:
            target.write_parquet(f"{name}.parquet", _to_table(family, _IDS[name]))
    if best:
        target.write_parquet("best.parquet", pa.concat_tables(best))
    if result.must_rank:
        outcomes = {d: [vars(case) for case in row] for d, row in result.must_rank.items()}
        target.write_bytes("must_rank.json", to_json(outcomes))


def read_evaluation(uri: str, name: str) -> Evaluation:
    """Read the evaluation at `uri`, called `name`. Raises StorageError if there is none."""
    manifest = read_manifest(uri, EvaluationManifest)
    families: dict[str, Any] = {
        family: _from_table(storage.read_parquet(storage.join(uri, f"{family}.parquet")))
        for family in _IDS
        if f"{family}.parquet" in manifest.files
    }
    if "pairs" in families:
        pairs: Measured = families["pairs"]
        cosines = {d: row["cosine"] for d, row in pairs.values.items()}
        families["pairs"] = Scored(pairs.units, pairs.weights["cosine"], cosines)
    if "must_rank.json" in manifest.files:
        read = json.loads(storage.read_bytes(storage.join(uri, "must_rank.json")))
        families["must_rank"] = {
            int(d): tuple(CaseOutcome(**case) for case in row) for d, row in read.items()
        }
    return Evaluation(name, uri, manifest.encoder, **families)


def best_documents(rankings: Mapping[int, Ranking], query_ids: Sequence[str]) -> pa.Table:
    """Return what each query found first at each dimension, columns BEST."""
    rows = []
    for dimension, ranking in rankings.items():
        ids = ranking.ids[:, :RANKS_KEPT].tolist()
        scores = ranking.scores[:, :RANKS_KEPT].tolist()
        for query_id, names, values in zip(query_ids, ids, scores, strict=True):
            count = sum(bool(name) for name in names)  # a small corpus leaves places empty
            rows.append(
                {
                    "query_id": query_id,
                    "dimension": dimension,
                    "document_ids": names[:count],
                    "scores": values[:count],
                }
            )
    return pa.Table.from_pylist(rows, schema=BEST)


def nest_slices(result: Evaluation) -> dict[str, dict[str, Any]]:
    """Return {"language": {"fr": {dimension: {metric: mean}}}, "tag": ...}."""
    slices: dict[str, dict[str, Any]] = {}
    for (kind, name), means in result.slices().items():
        slices.setdefault(kind, {})[name] = means
    return slices


def to_json(values: Any) -> bytes:
    """Write indented JSON; NaN is an error of ours, not something to write."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False).encode()


def _to_table(family: Measured, ids: str) -> pa.Table:
    """Make a row per unit and dimension: unit, then a column per metric, weight and cosine."""
    units = family.units
    parts = []
    for dimension, values in family.values.items():
        columns: dict[str, Any] = {
            ids: pa.array(units.ids, pa.string()),
            "group_id": pa.array(units.groups, pa.string()),
            "language": pa.array(units.languages, pa.string()),
            "tags": pa.array(units.tags, pa.list_(pa.string())),
            "dimension": pa.array(np.full(len(units.ids), dimension), pa.int32()),
        }
        cosines = family.cosines.get(dimension, {})
        for start, rows in (("", values), (_WEIGHT, family.weights), (_COSINE, cosines)):
            for name, row in rows.items():
                # NaN, where a metric does not apply, as null
                columns[start + name] = pa.array(row, pa.float64(), mask=np.isnan(row))
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _from_table(rows: pa.Table) -> Measured:
    values: dict[int, dict[str, Values]] = {}
    cosines: dict[int, dict[str, Values]] = {}
    weights: dict[str, Values] = {}
    dimensions = rows["dimension"].to_numpy()
    units = rows.slice(0, 0)
    for dimension in dict.fromkeys(dimensions.tolist()):
        units = rows.filter(pa.array(dimensions == dimension))
        for name in units.column_names[1 + len(_UNITS) :]:
            column = units[name].to_numpy().astype(np.float64)
            if name.startswith(_WEIGHT):
                weights[name.removeprefix(_WEIGHT)] = column
            elif name.startswith(_COSINE):
                cosines.setdefault(dimension, {})[name.removeprefix(_COSINE)] = column
            else:
                values.setdefault(dimension, {})[name] = column
    about = Units(
        ids=tuple(units.column(0).to_pylist()),
        groups=tuple(units["group_id"].to_pylist()),
        languages=tuple(units["language"].to_pylist()),
        tags=tuple(tuple(row) for row in units["tags"].to_pylist()),
    )
    return Measured(about, values, weights, cosines)

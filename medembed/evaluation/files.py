"""An evaluation on storage: means as JSON, every query's, text's and pair's values as Parquet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medembed import storage
from medembed.artifact import NewOutput, read_manifest
from medembed.evaluation.metrics import Values
from medembed.evaluation.must_rank import Outcome
from medembed.evaluation.result import Evaluation, Measured, Scored, Units
from medembed.lineage import EvaluationManifest
from medembed.schema import BEST
from medembed.search.ranking import Ranking

RANKS_KEPT = 10
_IDS = {"queries": "query_id", "documents": "document_id", "pairs": "pair_id"}
_UNITS = ["group_id", "language", "tags", "dimension"]  # after the column of ids
_WEIGHT, _COSINE = "weight of ", "cosine of best "


def write_evaluation(target: NewOutput, result: Evaluation, best: Sequence[pa.Table]) -> None:
    """Writes metrics.json {dimension: {metric: mean}}, slices.json, and a Parquet file of each
    family that is there.

    `best` are tables of columns BEST: what each query found first.
    """
    target.write_bytes("metrics.json", to_json(result.metrics))
    target.write_bytes("slices.json", to_json(nest_slices(result)))
    for name, family in (("queries", result.queries), ("documents", result.documents)):
        if family is not None:
            target.write_parquet(f"{name}.parquet", _to_table(family, _IDS[name]))
    if result.pairs is not None:
        scored = Measured(
            result.pairs.units,
            {d: {"cosine": row} for d, row in result.pairs.cosines.items()},
            {"cosine": result.pairs.similarity},
            {},
        )
        target.write_parquet("pairs.parquet", _to_table(scored, _IDS["pairs"]))
    if best:
        target.write_parquet("best.parquet", pa.concat_tables(best))
    if result.must_rank:
        outcomes = {d: [vars(one) for one in row] for d, row in result.must_rank.items()}
        target.write_bytes("must_rank.json", to_json(outcomes))


def read_evaluation(uri: str, name: str) -> Evaluation:
    """The finished evaluation at `uri`, called `name`. Raises StorageError if there is none."""
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
            int(d): tuple(Outcome(**one) for one in row) for d, row in read.items()
        }
    return Evaluation(name, uri, manifest.encoder, **families)


def best_documents(rankings: Mapping[int, Ranking], query_ids: Sequence[str]) -> list[pa.Table]:
    """What each query found first at each dimension, columns BEST."""
    return [pa.Table.from_pylist(list(_best(rankings, query_ids)), schema=BEST)]


def nest_slices(result: Evaluation) -> dict[str, dict[str, Any]]:
    """{"language": {"fr": {dimension: {metric: mean}}}, "tag": ...}."""
    slices: dict[str, dict[str, Any]] = {}
    for (kind, name), means in result.slices().items():
        slices.setdefault(kind, {})[name] = means
    return slices


def to_json(values: Any) -> bytes:
    """Indented JSON; a number that is none is an error of ours, not something to write."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False).encode()


def _best(rankings: Mapping[int, Ranking], query_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for dimension, ranking in rankings.items():
        ids, scores = ranking.ids[:, :RANKS_KEPT].tolist(), ranking.scores[:, :RANKS_KEPT].tolist()
        for query_id, names, values in zip(query_ids, ids, scores, strict=True):
            found = sum(bool(name) for name in names)
            yield {
                "query_id": query_id,
                "dimension": dimension,
                "document_ids": names[:found],
                "scores": values[:found],
            }


def _to_table(family: Measured, ids: str) -> pa.Table:
    """A row per unit and dimension: the unit's columns, then a column per metric, weight and
    cosine.
    """
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
        columns |= {name: _column(row) for name, row in values.items()}
        columns |= {_WEIGHT + name: _column(row) for name, row in family.weights.items()}
        columns |= {
            _COSINE + name: _column(row) for name, row in family.cosines.get(dimension, {}).items()
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _from_table(rows: pa.Table) -> Measured:
    values: dict[int, dict[str, Values]] = {}
    cosines: dict[int, dict[str, Values]] = {}
    weights: dict[str, Values] = {}
    dimensions = rows["dimension"].to_numpy()
    units = rows.slice(0, 0)
    for dimension in dict.fromkeys(dimensions.tolist()):
        part = rows.filter(pa.array(dimensions == dimension))
        units = part
        for name in part.column_names[1 + len(_UNITS) :]:
            column = part[name].to_numpy().astype(np.float64)
            if name.startswith(_WEIGHT):
                weights[name.removeprefix(_WEIGHT)] = column
            elif name.startswith(_COSINE):
                cosines.setdefault(dimension, {})[name.removeprefix(_COSINE)] = column
            else:
                values.setdefault(dimension, {})[name] = column
    ids, groups, languages, tags = (
        units.column(number).to_pylist() for number in range(len(_UNITS))
    )
    about = Units(tuple(ids), tuple(groups), tuple(languages), tuple(tuple(row) for row in tags))
    return Measured(about, values, weights, cosines)


def _column(values: Values) -> pa.Array:
    """NaN, where a metric does not apply, as null."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))

"""Is an embedding table what it says? Ids, widths, norms, numbers; against its data set; against its encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from medembed import storage
from medembed.encoding.changes import find_changes
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encode import CorpusFile, encode_texts, read_keys
from medembed.encoding.table import Table, read_shard
from medembed.progress import track
from medembed.spread import spread

_SAMPLE = 200  # documents encoded again
_NORM = 1e-3  # how far a norm may be from 1
_COSINE = 0.9999


@dataclass(frozen=True)
class Verified:
    """What was looked at, and the faults found: "3 vectors are no numbers, e.g. id 'd7'"."""

    rows: int
    encoded_again: int
    lowest_cosine: float | None
    faults: tuple[str, ...]


class CheckShard:
    """Turns {shard, rows} into {rows, read, nan, norm}: ids of vectors that are no numbers, or not of length 1."""

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        ids, vectors = read_shard(item["shard"])
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        broken = ~np.isfinite(norms)
        off = ~broken & (np.abs(norms - 1) > _NORM)
        names = np.asarray(ids, dtype=object)
        return {"rows": item["rows"], "read": len(ids), "nan": _listed(names[broken]), "norm": _listed(names[off])}


def verify(table: Table, corpus: Sequence[CorpusFile] | None, model: str | None, config: EncodingConfig) -> Verified:
    """Checks every vector; ids and hashes against the corpus, if given; with a model, a sample encoded again."""
    items = [{"shard": shard, "rows": shard["rows"]} for shard in table.shards()]
    results = ((int(row["rows"]), row) for row in spread(items, CheckShard, {}, workers=config.workers))
    rows = list(track(results, table.rows, "verify", "documents"))
    faults = [
        f"{sum(len(ids) for ids in found)} vectors {what}, e.g. id {next(name for ids in found for name in ids)!r}"
        for key, what in (("nan", "are no numbers"), ("norm", "have no unit norm"))
        if any(found := [list(row[key]) for row in rows])
    ]
    keys = table.keys()
    repeated = len(keys.ids) - pc.count_distinct(keys.ids).as_py()
    faults += [f"{repeated} rows have an id that another row has"] if repeated else []
    if corpus is not None:
        counts = find_changes(read_keys(corpus), keys, []).counts
        told = {name: counts[name] for name in ("added", "changed", "deleted") if counts[name]}
        if told:
            faults.append("against the data set: " + ", ".join(f"{count:,} {name}" for name, count in told.items()))
    again, cosine = 0, None
    if corpus is not None and model is not None and not faults:
        again, cosine = _encode_again(table, corpus, model, config)
        if cosine < _COSINE:
            faults.append(f"a sample encoded again has cosine {cosine:.4f} at the lowest; expected {_COSINE}")
    return Verified(sum(int(row["read"]) for row in rows), again, cosine, tuple(faults))


def _encode_again(table: Table, corpus: Sequence[CorpusFile], model: str, config: EncodingConfig) -> tuple[int, float]:
    """(documents, the lowest cosine between their vectors and new ones), from files evenly spaced over the corpus."""
    chosen = sorted({int(place) for place in np.linspace(0, len(corpus) - 1, min(8, len(corpus)))})
    ids: list[str] = []
    texts: list[str] = []
    for number in chosen:
        rows = storage.read_parquet(corpus[number][0], ["document_id", "text"]).slice(0, _SAMPLE // len(chosen) + 1)
        ids += rows["document_id"].to_pylist()
        texts += rows["text"].to_pylist()
    vectors = encode_texts({"document": texts}, model, config)["document"]
    return len(ids), float((vectors * table.lookup(ids)).sum(axis=1).min())


def _listed(ids: Any) -> list[str]:
    return [str(name) for name in ids]

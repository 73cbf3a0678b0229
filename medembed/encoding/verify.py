"""Is an embedding table what it says? Ids, widths, norms, numbers; against its data set; against
its encoder.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medembed.encoding.changes import compare, count_repeated
from medembed.encoding.config import EncodingConfig
from medembed.encoding.corpus import CorpusFile, read_keys, sample_texts
from medembed.encoding.table import Table, read_shard
from medembed.encoding.texts import encode_texts
from medembed.matryoshka import truncate
from medembed.privacy import show_id
from medembed.progress import track
from medembed.spread import spread

_SAMPLE, _FILES = 200, 8  # documents encoded again, and the files that they come from
_NORM = 1e-3  # how far a norm may be from 1
# Of a vector to the same text's, encoded again. Codes are half a step off, and those beyond the
# ranges more.
_COSINES = {"float32": 0.9999, "float16": 0.9999, "int8": 0.99}


@dataclass(frozen=True)
class Verified:
    """What was looked at, and the faults found: "3 vectors are no numbers, e.g. id 'd7'"."""

    rows: int
    encoded_again: int
    lowest_cosine: float | None
    faults: tuple[str, ...]


class CheckShard:
    """Turns {shard, rows} into {rows, read, nan, norm}: ids of vectors that are no numbers, or not
    of length 1.
    """

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        ids, vectors = read_shard(item["shard"])
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        broken = ~np.isfinite(norms)
        off = ~broken & (np.abs(norms - 1) > _NORM)
        names = np.asarray(ids, dtype=object)
        return {
            "rows": item["rows"],
            "read": len(ids),
            "nan": _listed(names[broken]),
            "norm": _listed(names[off]),
        }


def verify(
    table: Table, corpus: Sequence[CorpusFile] | None, model: str | None, config: EncodingConfig
) -> Verified:
    """Checks every vector; ids and hashes against the corpus, if given; with a model, a sample
    encoded again.
    """
    items = [{"shard": shard, "rows": shard["rows"]} for shard in table.shards()]
    results = (
        (int(row["rows"]), row) for row in spread(items, CheckShard, {}, workers=config.workers)
    )
    rows = list(track(results, table.rows, "verify", "documents"))
    faults = [
        f"{sum(len(ids) for ids in found)} vectors {what}, e.g. id "
        f"{show_id(next(itertools.chain(*found)))!r}"
        for key, what in (("nan", "are no numbers"), ("norm", "have no unit norm"))
        if any(found := [list(row[key]) for row in rows])
    ]
    repeated = count_repeated(table.keys())
    faults += [f"{repeated} rows have an id that another row has"] if repeated else []
    if corpus is not None:
        with compare(read_keys(corpus), table.keys()) as changes:
            counts = changes.counts
        told = {name: counts[name] for name in ("added", "changed", "deleted") if counts[name]}
        if told:
            faults.append(
                "against the data set: "
                + ", ".join(f"{count:,} {name}" for name, count in told.items())
            )
    again, cosine = 0, None
    if corpus is not None and model is not None and not faults:
        again, cosine = _encode_again(table, corpus, model, config)
        expected = _COSINES[table.info.storage]
        if cosine < expected:
            faults.append(
                f"a sample encoded again has cosine {cosine:.4f} at the lowest; expected {expected}"
            )
    return Verified(sum(int(row["read"]) for row in rows), again, cosine, tuple(faults))


def _encode_again(
    table: Table, corpus: Sequence[CorpusFile], model: str, config: EncodingConfig
) -> tuple[int, float]:
    """(documents, the lowest cosine between their vectors and new ones), from files evenly spaced
    over the corpus.
    """
    ids, texts = sample_texts(corpus, _SAMPLE, _FILES)
    vectors = encode_texts({"document": texts}, model, config)["document"]
    return len(ids), float(
        (truncate(vectors, table.info.width) * table.lookup(ids)).sum(axis=1).min()
    )


def _listed(ids: Any) -> list[str]:
    return [str(name) for name in ids]

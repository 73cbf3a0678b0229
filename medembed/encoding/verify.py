"""Check an embedding table: ids and numbers, against its data set, against its encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.changes import compare, count_repeated, describe_counts
from medembed.encoding.codec import Storage
from medembed.encoding.config import EncodingConfig
from medembed.encoding.corpus import CorpusFile, read_keys, sample_texts
from medembed.encoding.table import Table, read_shard, shard_items
from medembed.encoding.texts import encode_texts
from medembed.errors import StorageError
from medembed.language import to_translate, tr
from medembed.matryoshka import truncate
from medembed.privacy import show_id
from medembed.progress import track_rows
from medembed.spread import spread

_SAMPLE = 200  # documents encoded again
_FILES = 8  # from which they come at most
_NORM = 1e-3  # how far a norm may be from 1
# Of a vector to the same text's, encoded again. Codes are half a step off, and those beyond the
# ranges more.
_COSINES: dict[Storage, float] = {
    "float32": 0.9999,
    "float16": 0.9999,
    "int8": 0.99,
    # of the bits of both: values near 0 may change sides, 1 in 40
    "binary": 0.95,
}
_BROKEN = {
    "nan": to_translate("{count} vectors are not numbers, e.g. id {example!r}"),
    "norm": to_translate("{count} vectors are not of unit length, e.g. id {example!r}"),
}


@dataclass(frozen=True)
class Verified:
    """What was looked at in a sound table."""

    rows: int
    encoded_again: int
    lowest_cosine: float | None


class CheckShard:
    """Turns {shard, rows} into {rows, read, nan, norm}, the last two ids of bad vectors."""

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        ids, vectors = read_shard(item["shard"])
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        broken = ~np.isfinite(norms)
        off = ~broken & (np.abs(norms - 1) > _NORM)
        names = np.asarray(ids, dtype=object)
        return {
            "rows": item["rows"],
            "read": len(ids),
            "nan": names[broken].tolist(),
            "norm": names[off].tolist(),
        }


def verify(
    table: Table, corpus: Sequence[CorpusFile] | None, model: str | None, config: EncodingConfig
) -> Verified:
    """Check every vector; ids and hashes against the corpus, if given; with a model, a sample.

    The sample is encoded again, if all else is sound. Raises StorageError that names all faults.
    """
    results = spread(shard_items(table), CheckShard, {}, workers=config.workers)
    rows = list(track_rows(results, table.rows, tr("verify"), tr("documents")))
    faults = [
        *_name_broken(rows, "nan"),
        *_name_broken(rows, "norm"),
    ]
    repeated = count_repeated(table.keys())
    if repeated:
        faults.append(tr("{count} rows have an id that another row has", count=repeated))
    if corpus is not None:
        with compare(read_keys(corpus), table.keys()) as changes:
            differing = {}
            for name in ("added", "changed", "deleted"):
                if changes.counts[name]:
                    differing[name] = changes.counts[name]
        if differing:
            faults.append(tr("against the data set: {counts}", counts=describe_counts(differing)))

    again = 0
    cosine = None
    if corpus is not None and model is not None and not faults:
        cosines = _encode_again(table, corpus, model, config)
        again = len(cosines)
        cosine = float(cosines.min())
        expected = _COSINES[table.info.storage]
        if cosine < expected:
            faults.append(
                tr(
                    "a sample encoded again has cosine {cosine:.4f} at the lowest; expected "
                    "{expected}",
                    cosine=cosine,
                    expected=expected,
                )
            )
    if faults:
        raise StorageError(
            "{uri} version {version}: {faults}.",
            uri=table.uri,
            version=table.version,
            faults="; ".join(faults),
        )
    return Verified(sum(int(row["read"]) for row in rows), again, cosine)


def _name_broken(rows: Sequence[dict[str, Any]], key: str) -> list[str]:
    """Return a line on the vectors that all shards list under a key, if there are some."""
    ids: list[str] = []
    for row in rows:
        ids += row[key]
    return [tr(_BROKEN[key], count=len(ids), example=show_id(ids[0]))] if ids else []


def _encode_again(
    table: Table, corpus: Sequence[CorpusFile], model: str, config: EncodingConfig
) -> npt.NDArray[np.float32]:
    """Return the cosines of some documents, encoded again, to their vectors.

    Where the table keeps bits, of their bits, as these alone are far from the vectors.
    """
    sample = sample_texts(corpus, _SAMPLE, _FILES)
    vectors = encode_texts({"document": sample.texts}, model, config)["document"]
    codec = table.codec()
    is_bits = codec.storage == "binary"
    kept = codec.read(codec.write(vectors)) if is_bits else truncate(vectors, codec.width)
    cosines: npt.NDArray[np.float32] = (kept * table.lookup(sample.ids)).sum(axis=1)
    return cosines

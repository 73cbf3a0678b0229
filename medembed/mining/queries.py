"""The vectors of the queries that are mined, in a file on this node: they may be too many for the
driver's memory.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medembed.encoding.config import EncodingConfig
from medembed.encoding.texts import encode_queries
from medembed.mining.previous_search import Memory
from medembed.records import Records
from medembed.schema import content_hash
from medembed.search.float64_scores import Vectors

_AT_ONCE = 65_536  # in the driver's memory together


def query_vectors(
    query_ids: Sequence[str],
    texts: Sequence[str],
    width: int,
    model: str,
    encoding: EncodingConfig,
    memory: Memory | None,
    records: Records,
    scratch: Path,
) -> Vectors:
    """float32 [Q, width], mapped from a file in `scratch`: remembered, recorded by a run that died,
    or encoded.

    `width` is the table's: of a longer vector its first numbers, which `truncate` makes a unit row.
    """
    vectors = np.lib.format.open_memmap(
        scratch / "queries.npy", mode="w+", dtype=np.float32, shape=(len(texts), width)
    )
    remembered = memory.vectors(query_ids, texts) if memory else {}
    for place, vector in remembered.items():
        vectors[place] = vector
    left = [place for place in range(len(texts)) if place not in remembered]
    for start in range(0, len(left), _AT_ONCE):
        part = left[start : start + _AT_ONCE]
        vectors[part] = _encode([texts[place] for place in part], model, encoding, records)[
            :, :width
        ]
    return vectors


def _encode(
    texts: Sequence[str], model: str, encoding: EncodingConfig, records: Records
) -> Vectors:
    name = f"queries-{content_hash(repr(texts))}"
    return records.once(
        name, lambda: {"vectors": encode_queries(texts, model, encoding, steadily=True)}
    )["vectors"]

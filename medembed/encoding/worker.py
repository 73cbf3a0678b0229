"""What an encoding actor does with an item of `changes`: an uncommitted fragment, and a record of
it.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed import storage
from medembed.encoding.batching import count_padding
from medembed.encoding.codec import Codec, Storage
from medembed.encoding.commit import write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.isolate import Attempts, encode_apart
from medembed.encoding.quantize import Ranges, RunningRanges
from medembed.encoding.staging import Staging
from medembed.encoding.table import find_column
from medembed.errors import DataError


@dataclass(frozen=True, eq=False)
class Target:
    """The table that items are for: version 0 for a new one; dimensions None for all that the
    encoder has.
    """

    uri: str
    version: int
    storage: Storage
    dimensions: int | None
    ranges: Ranges | None


@dataclass
class _Encoded:
    """Rows to be written, their full vectors float32 [n, D], tokens of each text, and {id: type of
    the error} of the documents that crash the encoder."""

    rows: pa.Table
    vectors: npt.NDArray[np.float32]
    lengths: list[int] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class EncodeRows:
    """Turns {number, rows, work} into {number, rows, tokens, record}, the last two for the driver's
    progress.

    A class, so that the model loads once per actor.
    """

    def __init__(
        self, model: str, target: Target, config: EncodingConfig, staging: Staging, run: str
    ) -> None:
        self.model, self.config = model, config
        self.target, self.staging, self.run = target, staging, run

    @cached_property
    def encoder(self) -> Encoder:
        """Loaded by the first item that has something to encode."""
        return Encoder.load(self.model, self.config)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        start, work = time.monotonic(), json.loads(item["work"])
        lengths: list[int] = []
        failed: dict[str, str] = {}
        beyond = 0
        if "hashes" in work:
            rows = pa.table({"document_id": work["ids"], "content_hash": work["hashes"]})
            column = find_column(self.target.uri, self.target.version, work["hashes"])
        else:
            width = self.encoder.width  # loads it, before a note is left beside the table
            found = self._encode(work, Attempts(self.staging, item["number"], self.run))
            codec = Codec(self.target.dimensions or width, self.target.storage, self.target.ranges)
            rows, column, lengths, failed = (
                found.rows,
                codec.write(found.vectors),
                found.lengths,
                found.failed,
            )
            beyond = codec.count_beyond(found.vectors)
        record = {
            "fragments": write_fragment(self.target.uri, rows, column),
            "info": {} if self.target.version else self._describe(column.type.list_size),
            "tokens": sum(lengths),
            "padding": count_padding(lengths, self.config.batch_tokens),
            "failed": failed,
            "beyond": beyond,
            "seconds": time.monotonic() - start,
        }
        self.staging.write(item["number"], record)
        return {
            "number": item["number"],
            "rows": item["rows"],
            "tokens": record["tokens"],
            "record": json.dumps(record),
        }

    def _describe(self, width: int) -> dict[str, Any]:
        """What a new table says of its encoder."""
        return {
            "width": width,
            "dimensions": [
                dimension for dimension in self.encoder.dimensions if dimension <= width
            ],
            "prompt": self.encoder.prompt("document"),
            "max_length": self.encoder.max_length,
        }

    def _encode(self, work: dict[str, Any], attempts: Attempts) -> _Encoded:
        """Twins stand behind the rows whose text they share."""
        corpus = pa.concat_tables(map(_read_part, work["parts"]))
        vectors, lengths, kept = encode_apart(
            self.encoder.encode_and_count,
            corpus["text"].to_pylist(),
            attempts,
            self.config.max_failed,
        )
        ids, hashes = corpus["document_id"].to_pylist(), corpus["content_hash"].to_pylist()
        place = {row: position for position, row in enumerate(kept)}
        named = list(zip(ids, range(len(ids)), strict=True))
        named += [(twin["document_id"], twin["row"]) for twin in work["twins"]]
        written = [(name, row) for name, row in named if row in place]
        rows = pa.table(
            {
                "document_id": pa.array([name for name, _ in written], pa.string()),
                "content_hash": pa.array([hashes[row] for _, row in written], pa.string()),
            }
        )
        failed = {name: attempts.failed[row] for name, row in named if row not in place}
        if not kept:
            vectors = np.zeros((0, self.encoder.width), np.float32)
        return _Encoded(rows, vectors[[place[row] for _, row in written]], lengths, failed)


class MeasureRanges:
    """Turns {number, texts} into {low, high, count}: the ranges of their full vectors, those that
    crash left out.
    """

    def __init__(self, model: str, config: EncodingConfig, staging: Staging, run: str) -> None:
        self.encoder, self.config, self.staging, self.run = (
            Encoder.load(model, config),
            config,
            staging,
            run,
        )

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        attempts = Attempts(self.staging, item["number"], self.run)
        vectors, _, kept = encode_apart(
            self.encoder.encode_and_count, list(item["texts"]), attempts, self.config.max_failed
        )
        ranges = RunningRanges(self.encoder.width)
        if kept:
            ranges.add(vectors)
        return {
            "low": ranges.low.tolist(),
            "high": ranges.high.tolist(),
            "count": ranges.count,
            "rows": len(item["texts"]),
        }


def join_ranges(parts: Iterable[dict[str, Any]]) -> Ranges:
    """Return the ranges of all vectors that `MeasureRanges` saw in parts."""
    joined: RunningRanges | None = None
    for part in parts:
        ranges = RunningRanges(len(part["low"]))
        ranges.low, ranges.high = (
            np.asarray(part[name], dtype=np.float32) for name in ("low", "high")
        )
        ranges.count = part["count"]
        joined = joined or RunningRanges(len(part["low"]))
        joined.join(ranges)
    assert joined is not None
    if not joined.count:
        raise DataError(
            "corpus: all documents of the sample for int8 ranges crash the encoder; mend them."
        )
    return joined.ranges()


def _read_part(part: dict[str, Any]) -> pa.Table:
    """The rows that a part names of its file."""
    rows = storage.read_parquet(part["file"], ["document_id", "text", "content_hash"])
    return rows.take(
        pa.array(np.concatenate([np.arange(start, end) for start, end in part["ranges"]]))
    )

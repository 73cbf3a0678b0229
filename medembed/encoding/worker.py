"""Do an item of `changes` in an encoding actor: write an uncommitted fragment, and record it."""

import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from medembed import storage
from medembed.encoding.batching import count_padding
from medembed.encoding.commit import write_fragment
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.staging import EncoderFacts, Finished, record_finished
from medembed.encoding.table import find_column
from medembed.encoding.target import Target
from medembed.errors import DataError, MedEmbedError
from medembed.privacy import show_id
from medembed.records import Records


class EncodeRows:
    """Turns {number, rows, work} into {number, rows, tokens, record}, the last as JSON.

    A class, so that the model loads once per actor.
    """

    def __init__(
        self, model: str, target: Target, config: EncodingConfig, staging: Records
    ) -> None:
        self.model = model
        self.target = target
        self.config = config
        self.staging = staging

    @cached_property
    def encoder(self) -> Encoder:
        """Loaded by the first item that has something to encode."""
        return Encoder.load(self.model, self.config)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        work = json.loads(item["work"])
        finished = self._copy(work) if "hashes" in work else self._encode(work)
        record_finished(self.staging, item["number"], finished)
        return {
            "number": item["number"],
            "rows": item["rows"],
            "tokens": finished.tokens,
            "record": json.dumps(finished.to_json()),
        }

    def _copy(self, work: dict[str, Any]) -> Finished:
        """Write rows whose text the table has under another id."""
        start = time.monotonic()
        rows = pa.table({"document_id": work["ids"], "content_hash": work["hashes"]})
        column = find_column(self.target.uri, self.target.version, work["hashes"])
        fragments = write_fragment(self.target.uri, rows, column)
        return Finished(fragments, seconds=time.monotonic() - start)

    def _encode(self, work: dict[str, Any]) -> Finished:
        """Write rows of new texts, and behind them the rows that share one of these texts."""
        start = time.monotonic()
        corpus = pa.concat_tables(map(_read_part, work["parts"]))
        try:
            vectors, lengths = self.encoder.encode_and_count(corpus["text"].to_pylist())
        except MedEmbedError:
            raise
        except Exception as error:  # of any type: whatever a model or tokenizer raises on a text
            name = find_failing(self.encoder.encode_and_count, corpus)
            raise _explain(name, error) from None  # its own message might show the text

        places = pa.array([*range(len(corpus)), *work["twin_rows"]], pa.int64())
        names = pa.array(work["twin_ids"], pa.string())
        rows = pa.table(
            {
                "document_id": pa.chunked_array([*corpus["document_id"].chunks, names]),
                "content_hash": corpus["content_hash"].take(places),
            }
        )
        written = vectors[places.to_numpy()]
        codec = self.target.codec(self.encoder.width)
        return Finished(
            write_fragment(self.target.uri, rows, codec.write(written)),
            encoder=None if self.target.version else self._facts(codec.width),
            tokens=sum(lengths),
            padding=count_padding(lengths, self.config.batch_tokens),
            beyond=codec.count_beyond(written),
            seconds=time.monotonic() - start,
        )

    def _facts(self, width: int) -> EncoderFacts:
        trained = tuple(dimension for dimension in self.encoder.dimensions if dimension <= width)
        return EncoderFacts(
            width, trained, self.encoder.prompt("document"), self.encoder.max_length
        )


def find_failing(encode: Callable[[list[str]], object], rows: pa.Table) -> str | None:
    """Return the id of the first row on whose text `encode` fails alone.

    None if there is none, or if it fails on a made-up text: then no row is at fault, but memory or
    a GPU.
    """
    names: list[str] = ["", *rows["document_id"].to_pylist()]
    texts: list[str] = ["a", *rows["text"].to_pylist()]
    for name, text in zip(names, texts, strict=True):
        try:
            encode([text])
        except Exception:  # as above
            return name or None
    return None


def _explain(name: str | None, error: Exception) -> DataError:
    kind = type(error).__name__
    if name is None:
        return DataError(
            "the model failed with {kind}, and not because of one document: does it need more "
            "memory? What is finished is kept; run again.",
            kind=kind,
        )
    return DataError(
        "document id {name!r}: the model fails on its text ({kind}); mend or remove it, and run "
        "again.",
        name=show_id(name),
        kind=kind,
    )


def _read_part(part: dict[str, Any]) -> pa.Table:
    """Return the rows that a part names of its file."""
    rows = storage.read_parquet(part["file"], ["document_id", "text", "content_hash"])
    places = [np.arange(start, end) for start, end in part["ranges"]]
    return rows.take(pa.array(np.concatenate(places)))

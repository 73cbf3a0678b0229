"""A loaded model, and its answers to requests that arrive together. No Serve in here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.quantize import Ranges
from medembed.encoding.table import check_encoder, find_table
from medembed.errors import StorageError
from serve.errors import RequestError
from serve.outputs import convert
from serve.work import Embedded, Model, Refused, Work, check_lengths, check_request, check_vocabulary


@dataclass(frozen=True)
class Served:
    """An encoder, how clients see it, and the ranges of its int8 codes, if a table gave any."""

    encoder: Encoder
    model: Model
    ranges: Ranges | None = None


@dataclass(frozen=True)
class _Inputs:
    """A request that is fine: its token ids, which inputs were cut, and its dimensions."""

    tokens: list[list[int]]
    truncated: list[bool]
    dimensions: int


def load_served(user_config: dict[str, Any], encoding: EncodingConfig) -> Served:
    """The model of {"model": <folder URI>, "name", "version", "table": <URI or None>}, warm.

    Raises ModelError, or StorageError for a table that is not this model's.
    """
    encoder = Encoder.load(user_config["model"], encoding)
    ranges = _read_ranges(user_config.get("table"), encoder.fingerprint)
    encoder.encode(["warm up"], "query")
    return Served(encoder, describe_model(encoder, user_config["name"], user_config["version"], ranges), ranges)


def describe_model(encoder: Encoder, name: str, version: str, ranges: Ranges | None = None) -> Model:
    """The encoder as clients see it under this name and version."""
    return {
        "name": name,
        "version": str(version),
        "fingerprint": encoder.fingerprint,
        "width": encoder.width,
        "dimensions": list(encoder.dimensions),
        "max_input_tokens": encoder.max_length,
        "vocabulary": len(encoder.model.tokenizer),
        "int8_ranges": ranges.fingerprint if ranges else None,
    }


def answer(served: Served, work: Sequence[Work]) -> list[Embedded | Refused]:
    """One result per request, in order. One pass computes them all, whatever their roles, dimensions and types."""
    read = [_read(served, one) for one in work]
    accepted = [one for one in read if isinstance(one, _Inputs)]
    embeddings = served.encoder.encode_tokens([ids for one in accepted for ids in one.tokens])
    ends = np.cumsum([len(one.tokens) for one in accepted])
    rows = iter(np.split(embeddings, ends[:-1]))
    return [
        one
        if isinstance(one, Refused)
        else Embedded(
            convert(next(rows), one.dimensions, asked.output_dtype, served.ranges),
            one.dimensions,
            [len(ids) for ids in one.tokens],
            one.truncated,
            served.model,
        )
        for one, asked in zip(read, work, strict=True)
    ]


def _read(served: Served, work: Work) -> _Inputs | Refused:
    try:
        dimensions = check_request(work, served.model)
        tokens, truncated = _tokenize(served, work)
        check_lengths(tokens, truncated, work, served.model)
    except RequestError as error:
        return Refused(error, served.model)
    return _Inputs(tokens, truncated, dimensions)


def _tokenize(served: Served, work: Work) -> tuple[list[list[int]], list[bool]]:
    """(token ids of each input, whether it was cut). Ids are taken as they are: no prompt, no special tokens."""
    texts = [one for one in work.inputs if isinstance(one, str)]
    if texts:
        return served.encoder.tokenize_and_mark(texts, work.role)
    given = [list(one) for one in work.inputs if not isinstance(one, str)]
    check_vocabulary(given, served.model)
    limit = served.model["max_input_tokens"]
    return [ids[:limit] for ids in given], [len(ids) > limit for ids in given]


def _read_ranges(table_uri: str | None, encoder: str) -> Ranges | None:
    """The int8 ranges of an embedding table; None without a table, or where it keeps floats."""
    if table_uri is None:
        return None
    table = find_table(table_uri)
    if table is None:
        raise StorageError(f"{table_uri}: no embedding table there; make one with `medembed encode`.")
    check_encoder(table, encoder)
    return table.codec().ranges

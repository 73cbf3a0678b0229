"""A loaded model, and its answers to requests that arrive together. No Serve in here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.quantize import Ranges
from medembed.encoding.table import open_table_of
from serve.errors import RequestError
from serve.outputs import convert
from serve.table import SearchConfig, SearchTable, load_search
from serve.work import Embedded, Model, Refused, Work, check_lengths, check_request, check_vocabulary


@dataclass(frozen=True)
class Served:
    """An encoder and its table, one immutable pair: swapped together.

    `model` is how clients see them; `ranges` of int8 codes are there if a table gave any, `table` if it is searched.
    """

    encoder: Encoder
    model: Model
    ranges: Ranges | None = None
    table: SearchTable | None = None


@dataclass(frozen=True)
class _Inputs:
    """A request that is fine: its token ids, which inputs were cut, and its dimensions."""

    tokens: list[list[int]]
    truncated: list[bool]
    dimensions: int


def load_served(user_config: dict[str, Any], encoding: EncodingConfig) -> Served:
    """The model of {"model": <folder URI>, "name", "version", "table": <URI or None>, "table_version", "search"}, warm.

    Without a table's version its newest is taken. Raises ModelError, or StorageError, ConfigError or DataError for a
    table that is not this model's or cannot be searched as `search`, a SearchConfig, wants.
    """
    encoder = Encoder.load(user_config["model"], encoding)
    ranges, searched = None, None
    if user_config.get("table") is not None:
        table = open_table_of(user_config["table"], encoder.fingerprint, user_config.get("table_version"))
        ranges, config = table.codec().ranges, SearchConfig.model_validate(user_config.get("search", {}))
        searched = load_search(table, config, encoder.dimensions) if config.enabled else None
    encoder.encode(["warm up"], "query")
    model = describe_model(encoder, user_config["name"], user_config["version"], ranges, searched)
    return Served(encoder, model, ranges, searched)


def describe_model(
    encoder: Encoder, name: str, version: str, ranges: Ranges | None = None, table: SearchTable | None = None
) -> Model:
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
        "table": table.facts() if table else None,
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

"""A loaded model, its answer to a request, and forward passes that requests share. No Serve in here."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.quantize import Ranges
from medembed.encoding.table import open_table_of
from serve.errors import RequestError
from serve.outputs import convert
from serve.table import SearchConfig, SearchTable, load_search
from serve.work import Embedded, Model, Refused, Work, check_lengths, check_pace, check_request, check_vocabulary


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
class Part:
    """Inputs of one request, as token ids, and the encoder that the request began with."""

    encoder: Encoder
    tokens: list[list[int]]


# A tokenizer takes 0.05 ms for four words and about 1 ms for 10,000 characters; a thread costs 0.1 ms and more.
_FEW, _SHORT = 8, 1000
Compute = Callable[[Part], Awaitable[npt.NDArray[np.float32]]]  # unit rows [n, D]


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


async def answer(work: Work, served: Served, compute: Compute, batch_tokens: int) -> Embedded | Refused:
    """The embeddings of one request by this pair, whatever is swapped meanwhile, or why it was refused.

    Tokenised in a thread unless a thread costs more: the event loop has others to hear. A large request is computed
    part by part, each at most `batch_tokens` or one input, so that small ones that come meanwhile wait for one part
    only. It ends early if it cannot be in time.
    """
    inputs = _read(served, work) if is_short(work) else await asyncio.to_thread(_read, served, work)
    if isinstance(inputs, Refused):
        return inputs
    try:
        parts = await _compute_in_time(inputs.tokens, served, work, compute, batch_tokens)
    except RequestError as error:
        return Refused(error, served.model)
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    embeddings = convert(rows, inputs.dimensions, work.output_dtype, served.ranges)
    return Embedded(embeddings, inputs.dimensions, list(map(len, inputs.tokens)), inputs.truncated, served.model)


async def _compute_in_time(
    tokens: Sequence[list[int]], served: Served, work: Work, compute: Compute, batch_tokens: int
) -> list[npt.NDArray[np.float32]]:
    """The rows of each part. Raises RequestError as soon as it is clear that the request cannot be in time."""
    total = sum(map(len, tokens))
    started = time.monotonic()
    read = 0
    parts = []
    for part in split(tokens, batch_tokens):
        parts.append(await compute(Part(served.encoder, part)))
        read += sum(map(len, part))
        check_pace(read, total, time.monotonic() - started, work)
    return parts


def compute_together(parts: Sequence[Part]) -> list[npt.NDArray[np.float32]]:
    """Full-width unit rows float32 [n, D] of each part; those of one encoder share forward passes, sorted by length.

    While models are swapped there are parts of two encoders.
    """
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for encoder in {id(part.encoder): part.encoder for part in parts}.values():
        own = [number for number, part in enumerate(parts) if part.encoder is encoder]
        embeddings = encoder.encode_tokens([ids for number in own for ids in parts[number].tokens])
        ends = np.cumsum([len(parts[number].tokens) for number in own])
        rows |= dict(zip(own, np.split(embeddings, ends[:-1]), strict=True))
    return [rows[number] for number in range(len(parts))]


def is_short(work: Work) -> bool:
    """Whether tokenising takes less than a fifth of a millisecond."""
    return len(work.inputs) <= _FEW and sum(map(len, work.inputs)) <= _SHORT


def count_tokens(parts: Sequence[Part]) -> int:
    """Tokens of all inputs of the parts."""
    return sum(len(ids) for part in parts for ids in part.tokens)


def split(tokens: Sequence[list[int]], limit: int) -> Iterator[list[list[int]]]:
    """Neighbours that have at most `limit` tokens together; an input that has more stands alone."""
    part: list[list[int]] = []
    size = 0
    for ids in tokens:
        if part and size + len(ids) > limit:
            yield part
            part, size = [], 0
        part.append(ids)
        size += len(ids)
    if part:
        yield part


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

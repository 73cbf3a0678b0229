"""A loaded model, its answer to a request, and forward passes that requests share. No Serve in
here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medembed.encoding.batching import Tokens
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.open_table import open_table_of
from medembed.encoding.quantize import Ranges
from serve.errors import RequestError
from serve.replica.facts import describe_model
from serve.replica.protocol import (
    Bounded,
    Embedded,
    Model,
    Refused,
    Work,
    check_pace,
    check_request,
    check_total,
    check_vocabulary,
    too_long,
)
from serve.replica.render import convert
from serve.replica.settle import settle_later
from serve.replica.table import SearchConfig, SearchTable, load_search


@dataclass(frozen=True)
class Served:
    """An encoder and its table, one immutable pair: swapped together.

    `model` is how clients see them; `ranges` of int8 codes are there if a table gave any, `table`
    if it is searched.
    """

    encoder: Encoder
    model: Model
    ranges: Ranges | None = None
    table: SearchTable | None = None


class Computing(Protocol):
    """What computes: an Encoder the vectors of texts, a CrossEncoder the scores of pairs."""

    def encode_tokens(self, tokens: Tokens) -> npt.NDArray[np.float32]: ...

    def tokens_of_batch(self, lengths: Sequence[int]) -> int: ...


@dataclass(frozen=True)
class Part:
    """Inputs of one request, as the model reads them, and the model that the request began with."""

    encoder: Computing
    tokens: Tokens

    def fits(self, other: "Part") -> bool:
        """Whether the inputs of both can share a forward pass."""
        return self.encoder is other.encoder and self.tokens.fits(other.tokens)


# A tokenizer takes 0.05 ms for four words and about 1 ms for 10,000 characters; a thread costs 0.1
# ms and more.
_FEW, _SHORT = 8, 1000
MOST_COUNTED = 1_000_000  # characters: 0.1 s and some 25 MB for their tokens
Compute = Callable[[Part], Awaitable[npt.NDArray[np.float32]]]  # unit rows [n, D], or scores [n, 1]


@dataclass(frozen=True)
class _Inputs:
    """A request that is fine: its inputs as the model reads them, which of them were cut, and its
    dimensions.
    """

    tokens: Tokens
    truncated: list[bool]
    dimensions: int


def load_served(user_config: dict[str, Any], encoding: EncodingConfig) -> Served:
    """The model of {"model": <folder URI>, "name", "version", "training", "table": <URI or None>,
    "table_version", "search"}, warm.

    It answers by plain torch until the faster backend is ready, some seconds later
    (`settle_later`).

    Without a table's version its newest is taken. Raises ModelError, or StorageError, ConfigError
    or DataError for a table that is not this model's or cannot be searched as `search`, a
    SearchConfig, wants.
    """
    encoder = Encoder.load(user_config["model"], encoding, settles_later=True)
    ranges, searched = None, None
    if user_config.get("table") is not None:
        table = open_table_of(
            user_config["table"], encoder.fingerprint, user_config.get("table_version")
        )
        ranges, config = (
            table.codec().ranges,
            SearchConfig.model_validate(user_config.get("search", {})),
        )
        searched = load_search(table, config, encoder.dimensions) if config.enabled else None
    encoder.encode(["warm up"], "query")
    named = (user_config["name"], user_config["version"])
    model = describe_model(encoder, *named, ranges, searched, user_config.get("training"))
    settle_later(encoder)
    return Served(encoder, model, ranges, searched)


async def answer(
    work: Work, served: Served, compute: Compute, batch_tokens: int
) -> Embedded | Refused:
    """The embeddings of one request by this pair, whatever is swapped meanwhile, or why it was
    refused.

    Tokenised in a thread unless a thread costs more: the event loop has others to hear. A large
    request is computed part by part, each at most `batch_tokens` or one input, so that small ones
    that come meanwhile wait for one part only. It ends early if it cannot be in time.
    """
    inputs = _read(served, work) if is_short(work) else await asyncio.to_thread(_read, served, work)
    if isinstance(inputs, Refused):
        return inputs
    try:
        rows = await compute_in_time(inputs.tokens, served.encoder, work, compute, batch_tokens)
    except RequestError as error:
        return Refused(error, served.model)
    embeddings = convert(rows, inputs.dimensions, work.output_dtype, served.ranges)
    return Embedded(
        embeddings, inputs.dimensions, inputs.tokens.lengths, inputs.truncated, served.model
    )


async def compute_in_time(
    tokens: Tokens, encoder: Computing, work: Bounded, compute: Compute, batch_tokens: int
) -> npt.NDArray[np.float32]:
    """The rows of all inputs, part by part, each at most `batch_tokens` or one input.

    Raises RequestError as soon as it is clear that the request cannot be in time.
    """
    total = sum(tokens.lengths)
    started = time.monotonic()
    read = 0
    parts = []
    for part in split(tokens, batch_tokens):
        parts.append(await compute(Part(encoder, part)))
        read += sum(part.lengths)
        check_pace(read, total, time.monotonic() - started, work)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def compute_together(parts: Sequence[Part]) -> list[npt.NDArray[np.float32]]:
    """The rows of each part, float32 [n, D]; those that fit share forward passes, sorted by length.

    While models are swapped there are parts of two encoders.
    """
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for numbers in find_fitting(parts):
        first = parts[numbers[0]]
        joined = first.tokens.join([parts[number].tokens for number in numbers[1:]])
        ends = np.cumsum([len(parts[number].tokens) for number in numbers])
        embeddings = np.split(first.encoder.encode_tokens(joined), ends[:-1])
        rows |= dict(zip(numbers, embeddings, strict=True))
    return [rows[number] for number in range(len(parts))]


def find_fitting(parts: Sequence[Part]) -> list[list[int]]:
    """The numbers of the parts, those together that can share forward passes."""
    groups: list[list[int]] = []
    for number, part in enumerate(parts):
        group = next((group for group in groups if parts[group[0]].fits(part)), None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    return groups


def is_short(work: Work) -> bool:
    """Whether tokenising takes less than a fifth of a millisecond."""
    return len(work.inputs) <= _FEW and sum(map(len, work.inputs)) <= _SHORT


def count_tokens(parts: Sequence[Part]) -> int:
    """Tokens of all inputs of the parts."""
    return sum(sum(part.tokens.lengths) for part in parts)


def split(tokens: Tokens, limit: int) -> Iterator[Tokens]:
    """Neighbours that have at most `limit` tokens together; an input that has more stands alone."""
    start = 0
    size = 0
    for number, length in enumerate(tokens.lengths):
        if number > start and size + length > limit:
            yield tokens.take(start, number)
            start = number
            size = 0
        size += length
    if start < len(tokens):
        yield tokens.take(start, len(tokens))


def _read(served: Served, work: Work) -> _Inputs | Refused:
    try:
        dimensions = check_request(work, served.model)
        tokens, truncated = tokenize(served, work)
        if not work.cuts and any(truncated):
            raise _too_long(served, work, truncated.index(True))
        check_total(tokens.lengths, work)
    except RequestError as error:
        return Refused(error, served.model)
    return _Inputs(tokens, truncated, dimensions)


def _too_long(served: Served, work: Work, number: int) -> RequestError:
    remedy = 'shorten it, or send "truncate": "end" to have it cut'
    return too_long(f"input[{number}]", count(served, work, number), served.model, remedy)


def count(served: Served, work: Work, number: int) -> int | None:
    """Return the tokens of a whole input, were nothing cut; None if it is so long that counting
    takes too much.
    """
    given = work.inputs[number]
    if not isinstance(given, str):
        return len(given)
    if len(given) > MOST_COUNTED:
        return None
    return served.encoder.reader.count([given], work.role, work.prompt_name)[0]


def tokenize(served: Served, work: Work) -> tuple[Tokens, list[bool]]:
    """(the inputs as the model reads them, whether each was cut). Token ids are taken as they
    are.
    """
    texts = [one for one in work.inputs if isinstance(one, str)]
    if texts:
        return served.encoder.tokenize_and_mark(texts, work.role, work.prompt_name)
    given = [list(one) for one in work.inputs if not isinstance(one, str)]
    check_vocabulary(given, served.model)
    limit = served.model["max_input_tokens"]
    cut = [len(ids) > limit for ids in given]
    return served.encoder.reader.given([ids[:limit] for ids in given], work.role), cut

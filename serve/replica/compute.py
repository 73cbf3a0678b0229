"""Answer one request by a loaded model, in forward passes that requests share. No Serve in here."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from medembed.codes import Ranges, to_binary, to_int8, to_ubinary, to_uint8
from medembed.encoding.batching import Tokens
from medembed.matryoshka import truncate
from serve.errors import RequestError, bad_field
from serve.replica.protocol import (
    BoundedCall,
    EmbedCall,
    Embedded,
    OutputType,
    Refused,
    Tokenized,
    check_pace,
    check_request,
    check_total,
    check_vocabulary,
    too_long,
)
from serve.replica.served_model import ServedModel

# A tokenizer takes 0.05 ms for four words and about 1 ms for 10,000 characters; a thread costs
# 0.1 ms and more.
_FEW_INPUTS = 8
_SHORT_CHARACTERS = 1000
_MOST_COUNTED = 1_000_000  # characters: 0.1 s and some 25 MB for their tokens


class Computing(Protocol):
    """What computes: an Encoder the vectors of texts, a CrossEncoder the scores of pairs."""

    def encode_tokens(self, tokens: Tokens) -> npt.NDArray[np.float32]: ...

    def tokens_of_batch(self, lengths: Sequence[int]) -> int: ...


@dataclass(frozen=True)
class RequestPart:
    """Some inputs of one request, and the model with which the request began."""

    encoder: Computing
    tokens: Tokens

    def fits(self, other: "RequestPart") -> bool:
        """Return whether the inputs of both can share a forward pass."""
        return self.encoder is other.encoder and self.tokens.fits(other.tokens)


# unit rows [n, D], or scores [n, 1]
Compute = Callable[[RequestPart], Awaitable[npt.NDArray[np.float32]]]


class TokenizedInputs(NamedTuple):
    """Inputs as a model reads them, and whether each was cut."""

    tokens: Tokens
    truncated: list[bool]


async def answer(
    call: EmbedCall, served: ServedModel, compute: Compute, batch_tokens: int
) -> Embedded | Refused:
    """Return the embeddings of one request by this model, whatever is swapped meanwhile.

    A large request is computed part by part, each of at most `batch_tokens` or one input, so that
    small ones that come meanwhile wait for one part only.
    """
    try:
        dimensions = check_request(call, served.model)
        if _is_short(call):
            inputs = _read(call, served)
        else:  # in a thread, as the event loop has other requests to hear
            inputs = await asyncio.to_thread(_read, call, served)
        rows = await compute_in_time(inputs.tokens, served.encoder, call, compute, batch_tokens)
    except RequestError as error:
        return Refused(error, served.model)
    embeddings = convert(rows, dimensions, call.output_dtype, served.ranges)
    return Embedded(embeddings, dimensions, inputs.tokens.lengths, inputs.truncated, served.model)


def read_tokens(call: EmbedCall, served: ServedModel) -> Tokenized | Refused:
    """Return the tokens that embedding would read of each input."""
    try:
        check_request(call, served.model)
        inputs = tokenize(call, served)
        counts = inputs.tokens.lengths
        check_total(counts, call)
        for number, is_cut in enumerate(inputs.truncated):
            if not is_cut:
                continue
            whole = count_input(call, served, number)
            if whole is None:
                raise bad_field(
                    f"input[{number}]",
                    f"has more than {_MOST_COUNTED:,} characters; count its parts one by one.",
                )
            counts[number] = whole
    except RequestError as error:
        return Refused(error, served.model)
    return Tokenized(inputs.tokens.ids, counts, inputs.truncated, served.model)


def convert(
    embeddings: npt.NDArray[np.float32],
    dimensions: int,
    output_dtype: OutputType,
    ranges: Ranges | None = None,
) -> npt.NDArray[Any]:
    """Return rows in input order, from full embeddings float32 [n, D]:

    float           float32 [n, dimensions], truncated, then scaled to unit length
    int8, uint8     codes [n, dimensions]: those of the full embedding by stored `ranges`, cut
    ubinary         uint8 [n, ceil(dimensions / 8)]: numpy.packbits of value > 0, filled with zeros
    binary          int8, the bytes of ubinary less 128, as in sentence-transformers
    """
    match output_dtype:
        case "float":
            return truncate(embeddings, dimensions)
        case "binary":
            return to_binary(embeddings[:, :dimensions])
        case "ubinary":
            return to_ubinary(embeddings[:, :dimensions])
    assert ranges is not None, "a request for codes is refused where there are no ranges"
    codes = to_int8(embeddings, ranges) if output_dtype == "int8" else to_uint8(embeddings, ranges)
    return codes[:, :dimensions]


async def compute_in_time(
    tokens: Tokens, encoder: Computing, call: BoundedCall, compute: Compute, batch_tokens: int
) -> npt.NDArray[np.float32]:
    """Return the rows of all inputs, computed part by part.

    Raises RequestError as soon as it is clear that the request cannot be in time.
    """
    total = sum(tokens.lengths)
    started = time.monotonic()
    read = 0
    rows = []
    for part in split(tokens, batch_tokens):
        rows.append(await compute(RequestPart(encoder, part)))
        read += sum(part.lengths)
        check_pace(read, total, time.monotonic() - started, call)
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def compute_together(parts: Sequence[RequestPart]) -> list[npt.NDArray[np.float32]]:
    """Return the rows of each part, float32 [n, D]; parts that fit share forward passes.

    While models are swapped there are parts of two encoders.
    """
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for numbers in group_fitting(parts):
        first = parts[numbers[0]]
        joined = first.tokens.join([parts[number].tokens for number in numbers[1:]])
        ends = np.cumsum([len(parts[number].tokens) for number in numbers])
        embeddings = np.split(first.encoder.encode_tokens(joined), ends[:-1])
        rows |= dict(zip(numbers, embeddings, strict=True))
    return [rows[number] for number in range(len(parts))]


def group_fitting(parts: Sequence[RequestPart]) -> list[list[int]]:
    """Return the numbers of the parts, grouped by those that can share forward passes."""
    groups: list[list[int]] = []
    for number, part in enumerate(parts):
        for group in groups:
            if parts[group[0]].fits(part):
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def count_tokens(parts: Sequence[RequestPart]) -> int:
    """Return the number of tokens of all inputs of the parts."""
    return sum(sum(part.tokens.lengths) for part in parts)


def split(tokens: Tokens, limit: int) -> Iterator[Tokens]:
    """Yield neighbours of at most `limit` tokens together; a longer input stands alone."""
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


def tokenize(call: EmbedCall, served: ServedModel) -> TokenizedInputs:
    """Return the inputs as the model reads them. Token ids are taken as they are."""
    texts = [each for each in call.inputs if isinstance(each, str)]
    if texts:
        marked = served.encoder.tokenize_and_mark(texts, call.role, call.prompt_name)
        return TokenizedInputs(*marked)
    ids = [list(each) for each in call.inputs if not isinstance(each, str)]
    check_vocabulary(ids, served.model)
    limit = served.model["max_input_tokens"]
    tokens = served.encoder.reader.given([each[:limit] for each in ids], call.role)
    return TokenizedInputs(tokens, [len(each) > limit for each in ids])


def count_input(call: EmbedCall, served: ServedModel, number: int) -> int | None:
    """Return the tokens of one whole input, cut or not; None if it is too long to count."""
    given = call.inputs[number]
    if not isinstance(given, str):
        return len(given)
    if len(given) > _MOST_COUNTED:
        return None
    return served.encoder.reader.count([given], call.role, call.prompt_name)[0]


def _is_short(call: EmbedCall) -> bool:
    """Return whether tokenising takes less than a fifth of a millisecond."""
    return len(call.inputs) <= _FEW_INPUTS and sum(map(len, call.inputs)) <= _SHORT_CHARACTERS


def _read(call: EmbedCall, served: ServedModel) -> TokenizedInputs:
    inputs = tokenize(call, served)
    if not call.cuts and any(inputs.truncated):
        number = inputs.truncated.index(True)
        count = count_input(call, served, number)
        remedy = 'shorten it, or send "truncate": "end" to have it cut'
        raise too_long(f"input[{number}]", count, served.model, remedy)
    check_total(inputs.tokens.lengths, call)
    return inputs

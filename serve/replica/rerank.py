"""Rank the documents of one request by a cross-encoder, which reads each together with the query.

No Serve in here.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel

from medembed.encoding.batching import Tokens
from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder
from serve.errors import RequestError, bad_field
from serve.replica.compute import Compute, TokenizedInputs, compute_in_time
from serve.replica.protocol import Model, Refused, RerankCall, check_model, check_total

_PAIRS_AT_ONCE = 64  # are tokenised before it is checked whether a request has too many tokens


class RankerSettings(BaseModel, frozen=True):
    """The `user_config` of a Reranker: a model's folder, and what it is called."""

    model: str
    name: str
    version: str
    fingerprint: str


@dataclass(frozen=True)
class RankedDocument:
    """A document's place in the request, its score, and whether it was cut."""

    index: int
    score: float
    is_cut: bool


@dataclass(frozen=True)
class Ranked:
    """The documents, best first; of equal scores the first sent comes first.

    `tokens` are those of all pairs.
    """

    documents: list[RankedDocument]
    tokens: int
    model: Model


@dataclass(frozen=True)
class Ranker:
    """A cross-encoder, and how clients see it."""

    encoder: CrossEncoder
    model: Model


def load_ranker(settings: RankerSettings, encoding: EncodingConfig) -> Ranker:
    """Load a cross-encoder, and score a pair. Raises ModelError."""
    encoder = CrossEncoder.load(settings.model, encoding)
    model = describe_ranker(settings)
    model["fingerprint"] = encoder.fingerprint
    model["max_input_tokens"] = encoder.max_length
    return Ranker(encoder, model)


def describe_ranker(settings: RankerSettings) -> Model:
    """Return what is known of a cross-encoder before it is loaded, as clients see it."""
    facts: dict[str, Any] = dict.fromkeys(Model.__annotations__)  # most are true of encoders only
    facts["name"] = settings.name
    facts["version"] = settings.version
    facts["fingerprint"] = settings.fingerprint
    facts["capabilities"] = ["rerank"]
    facts["dimensions"] = []
    return cast(Model, facts)


async def rerank(
    call: RerankCall, ranker: Ranker, compute: Compute, batch_tokens: int
) -> Ranked | Refused:
    """Return the documents of one request, best first; computed part by part, as by `answer`."""
    try:
        check_model(call.model, ranker.model)
        pairs = await asyncio.to_thread(_read, call, ranker)
        scores = await compute_in_time(pairs.tokens, ranker.encoder, call, compute, batch_tokens)
    except RequestError as error:
        return Refused(error, ranker.model)
    documents: list[RankedDocument] = []
    for index, is_cut in enumerate(pairs.truncated):
        documents.append(RankedDocument(index, float(scores[index, 0]), is_cut))
    documents.sort(key=lambda document: -document.score)  # a stable sort
    return Ranked(documents[: call.top_n], sum(pairs.tokens.lengths), ranker.model)


def _read(call: RerankCall, ranker: Ranker) -> TokenizedInputs:
    """Return the pairs as the model reads them. Raises RequestError for too many tokens."""
    read: list[Tokens] = []
    lengths: list[int] = []
    truncated: list[bool] = []
    for start in range(0, len(call.documents), _PAIRS_AT_ONCE):
        documents = call.documents[start : start + _PAIRS_AT_ONCE]
        tokens, marks = ranker.encoder.tokenize([(call.query, document) for document in documents])
        if not call.cuts and any(marks):
            raise bad_field(
                f"documents[{start + marks.index(True)}]",
                f"with the query, has more than the {ranker.encoder.max_length} tokens that this "
                'model reads of both; shorten them, or send "truncate": "end" to have them cut.',
                "context_length_exceeded",
            )
        read.append(tokens)
        lengths += tokens.lengths
        truncated += marks
        check_total(lengths, call)
    return TokenizedInputs(read[0].join(read[1:]), truncated)

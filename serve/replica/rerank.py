"""Documents of one request ranked by a cross-encoder, which reads each together with the query. No
Serve in here.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from pydantic import Field

from medembed.config import Config
from medembed.encoding.batching import Tokens
from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder
from serve.errors import RequestError
from serve.operate.scaling import ReplicaCount
from serve.replica.compute import Compute, compute_in_time
from serve.replica.extra_models import UNKNOWN
from serve.replica.protocol import Model, Refused, check_model, check_total

_PAIRS_AT_ONCE = 64  # are tokenised before it is looked whether a request has too many tokens


class RerankConfig(Config):
    """A cross-encoder, in replicas of its own."""

    model: str | None = Field(
        default=None,
        description="cross-encoder that ranks documents at POST /v1/rerank, by reference like "
        "`model`; null: none",
    )
    name: str = Field(default="reranker", description="model name that clients send")
    replicas: ReplicaCount = Field(
        default=1, description="replicas that hold it, or [fewest,most] by load; fewest may be 0"
    )
    cpus_per_replica: int = Field(default=1, ge=1, description="CPU cores and threads of one")
    gpus_per_replica: float = Field(default=0, ge=0, description="GPUs of one")


@dataclass(frozen=True)
class RerankWork:
    """The documents of one request. `cuts`: what is too long is cut rather than refused; `top_n`:
    None for all.
    """

    field: ClassVar[str] = "documents"
    query: str
    documents: Sequence[str]
    top_n: int | None = None
    cuts: bool = False
    max_tokens: int | None = None
    within_s: float | None = None
    model: str | None = None


@dataclass(frozen=True)
class RankedDocument:
    """A document's place in the request, its score, and whether it was cut."""

    index: int
    score: float
    is_cut: bool


@dataclass(frozen=True)
class Ranked:
    """The documents, best first; of like scores the first sent comes first. `tokens` are those of
    all pairs.
    """

    documents: list[RankedDocument]
    tokens: int
    model: Model


@dataclass(frozen=True)
class Ranker:
    """A cross-encoder, and how clients see it."""

    encoder: CrossEncoder
    model: Model


def load_ranker(user_config: dict[str, Any], encoding: EncodingConfig) -> Ranker:
    """The cross-encoder of {"model": <folder URI>, "name", "version"}, warm. Raises ModelError."""
    encoder = CrossEncoder.load(user_config["model"], encoding)
    facts = describe_ranker({**user_config, "fingerprint": encoder.fingerprint})
    return Ranker(encoder, {**facts, "max_input_tokens": encoder.max_length})


def describe_ranker(user_config: dict[str, Any]) -> Model:
    """What is known of a cross-encoder before it is loaded, as clients see it."""
    facts: dict[str, Any] = dict.fromkeys(UNKNOWN)
    facts |= {name: str(user_config[name]) for name in ("name", "version", "fingerprint")}
    return cast(
        Model,
        facts | {"capabilities": ["rerank"], "width": None, "dimensions": [], "training": None},
    )


async def rerank(
    work: RerankWork, ranker: Ranker, compute: Compute, batch_tokens: int
) -> Ranked | Refused:
    """The documents of one request, best first, or why it was refused; computed part by part, as
    `answer` does.
    """
    try:
        check_model(work.model, ranker.model)
        tokens, cut = await asyncio.to_thread(_read, work, ranker)
        scores = await compute_in_time(tokens, ranker.encoder, work, compute, batch_tokens)
    except RequestError as error:
        return Refused(error, ranker.model)
    documents = [
        RankedDocument(*each)
        for each in zip(range(len(cut)), scores[:, 0].tolist(), cut, strict=True)
    ]
    documents.sort(key=lambda each: -each.score)  # a stable sort
    return Ranked(documents[: work.top_n], sum(tokens.lengths), ranker.model)


def _read(work: RerankWork, ranker: Ranker) -> tuple[Tokens, list[bool]]:
    """(the pairs as the model reads them, whether each was cut). Raises RequestError for too many
    tokens.
    """
    read: list[Tokens] = []
    lengths: list[int] = []
    cut: list[bool] = []
    for start in range(0, len(work.documents), _PAIRS_AT_ONCE):
        documents = work.documents[start : start + _PAIRS_AT_ONCE]
        tokens, marks = ranker.encoder.tokenize([(work.query, document) for document in documents])
        if not work.cuts and any(marks):
            raise _too_long(start + marks.index(True), ranker)
        read.append(tokens)
        lengths += tokens.lengths
        cut += marks
        check_total(lengths, work)
    return read[0].join(read[1:]), cut


def _too_long(number: int, ranker: Ranker) -> RequestError:
    return RequestError(
        400,
        f"documents[{number}]: with the query, has more than the {ranker.encoder.max_length} "
        "tokens that this model "
        'reads of both; shorten them, or send "truncate": "end" to have them cut.',
        "documents",
        "context_length_exceeded",
    )

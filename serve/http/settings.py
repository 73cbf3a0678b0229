"""What the HTTP application is made of, beside the model: limits, keys, page, log."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from medembed.config import Config
from serve.http.keys import ValidKeys
from serve.logs import Target
from serve.replica.protocol import Model


class LimitsConfig(Config):
    """What one request may cost. Quotas across replicas are a gateway's."""

    max_items: int = Field(
        default=2048, ge=1, description="inputs of one request; OpenAI's limit is 2,048"
    )
    max_tokens: int = Field(
        default=300_000,
        ge=1,
        description="tokens of one request in all, after cutting; OpenAI's limit is 300,000",
    )
    max_k: int = Field(default=100, ge=1, description="documents that one search may ask for")
    max_queries: int = Field(default=100, ge=1, description="queries of one search request")
    max_candidates: int = Field(
        default=10_000, ge=1, description="candidates that the funnel of one search may have"
    )
    max_body_bytes: int = Field(
        default=8 << 20,
        ge=1024,
        description="bytes of a request's body, counted while it comes in; more gets a 413",
    )
    request_timeout_s: float = Field(
        default=60,
        gt=0,
        description="seconds from a request's first byte to its answer, queue included; then a 504",
    )
    max_queued_requests: int = Field(
        default=512,
        ge=1,
        description="requests that a replica has in work or waiting; more get a 429 with "
        "Retry-After at once",
    )
    retry_after_s: int = Field(
        default=1, ge=1, description="seconds that a 429 or 503 asks callers to wait"
    )
    truncate: Literal["error", "end"] = Field(
        default="error",
        description="of an input that is too long, where a request for embeddings does not say: "
        "refuse it, or cut it",
    )
    token_ids: bool = Field(
        default=False,
        description="take token ids as input; off, as LangChain and others send those of "
        "OpenAI's tokenizer unless told otherwise, and these would be embedded as nonsense",
    )


@dataclass(frozen=True)
class HttpSettings:
    """How the HTTP application treats its callers: one value for each of its processes.

    `keys` are those that it takes; without any it answers to addresses and to the domains `hosts`.
    `has_page` puts a page at /, with `examples` to begin with. `log` says where the access log
    goes. `origins` are those of web pages elsewhere that may ask. `ranker` is the cross-encoder as
    clients see it, if there is one. `without_keys` lets other machines ask without keys.
    """

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    keys: ValidKeys = field(default_factory=ValidKeys)
    hosts: tuple[str, ...] = ()
    has_page: bool = True
    examples: tuple[str, ...] = ()
    log: Target = "off"
    origins: tuple[str, ...] = ()
    ranker: Model | None = None
    without_keys: bool = False

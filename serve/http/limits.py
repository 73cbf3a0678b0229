"""Who may ask, how much, and for how long: keys, the Host, the size of a body, a time-out. Errors
as OpenAI's.
"""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Collection, Sequence
from typing import Literal

from pydantic import Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medembed.config import Config
from serve.errors import RequestError, error_response, explain, log_line
from serve.http.access_log import note
from serve.http.keys import Keys

logger = logging.getLogger(__name__)

# Probes have no key; they say nothing but whether the server works, and which version.
OPEN = ("/health/live", "/health/ready", "/health/replicas")
# Needs a key, but takes no place: one reading serves all, and an overload is when it is wanted.
_CHEAP = ("/metrics",)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d+)?")


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
        description="requests that wait for a replica; more get a 429 with Retry-After at once",
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


class Guard:
    """ASGI middleware that lets in who has a key, counts the body, stops the clock, and answers
    what went wrong.

    A middleware, as keys are checked before anything is read, and time runs while a body comes in.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: LimitsConfig,
        keys: Keys | None = None,
        *,
        open_paths: Sequence[str] = (),
        hosts: Sequence[str] = (),
        most: int | None = None,
    ) -> None:
        """`open_paths` need no key, beside the probes. Without keys, `hosts` are the domains that
        this server has.

        `most` requests are in work or wait; more are refused unread: in an overload a refusal that
        costs as much as an answer leaves no time for answers.
        """
        self.app = app
        self.limits = limits
        self.keys = keys
        self.open_paths = frozenset((*OPEN, *open_paths))
        self.hosts = frozenset(map(str.lower, hosts))
        self.most = most
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False
        places = 0  # that this request takes of `most`: who has no key takes none

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self.limits.request_timeout_s):
                places = await self._admit(scope)
                await self.app(scope, self._counted(receive), watched)
        except Exception as error:  # the last place where a caller can be told
            answer = explain(error, self.limits.retry_after_s)
            if answer.status == 500:
                logger.error("request failed: %s", log_line(error.__cause__ or error))
            if not started:
                await error_response(answer)(scope, receive, send)
        finally:
            self.begun -= places

    async def _admit(self, scope: Scope) -> int:
        """Return how many of the places in work the request takes, which it has from now on."""
        headers = Headers(scope=scope)
        # Below a route prefix of Serve, or a mount, the path has it in front.
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_open = path in self.open_paths
        if self.keys is None:
            self._check_host(headers.get("host", ""))
        elif not is_open:
            note(scope, key=await self._name_of_key(headers, self.keys))
        length = headers.get("content-length", "")
        if length.isdecimal() and float(length) > self.limits.max_body_bytes:
            raise self._too_large()
        if is_open or path in _CHEAP:
            return 0
        if self.most is not None and self.begun >= self.most:
            from ray.serve.exceptions import BackPressureError

            raise BackPressureError(num_queued_requests=self.begun, max_queued_requests=self.most)
        self.begun += 1
        return 1

    def _check_host(self, host: str) -> None:
        if host and not is_own_name(host, self.hosts):  # no browser leaves it out
            raise RequestError(
                421,
                "Host: found a domain that this server does not know as its own; ask it by its "
                "address, or have the operator name the domain in allowed_hosts, or set keys.",
                code="wrong_host",
            )

    async def _name_of_key(self, headers: Headers, keys: Keys) -> str:
        name = await keys.find(headers.getlist("authorization"))
        if name is None:
            raise RequestError(
                401,
                "a valid API key is missing; send it as Authorization: Bearer <key>.",
                headers={"www-authenticate": "Bearer"},
            )
        return name

    def _counted(self, receive: Receive) -> Receive:
        """`receive` that stops a body at the limit, whatever its header said; a chunked one has
        none.
        """
        size_bytes = 0

        async def counted() -> Message:
            nonlocal size_bytes
            message = await receive()
            size_bytes += len(message.get("body", b""))
            if size_bytes > self.limits.max_body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> RequestError:
        limit = self.limits.max_body_bytes
        return RequestError(
            413,
            (
                f"the body is larger than {limit} bytes (limits.max_body_bytes); send fewer "
                "inputs at a time."
            ),
        )


def is_own_name(host: str, allowed: Collection[str]) -> bool:
    """Return whether a Host header is none that a web page elsewhere can make a browser send here.

    A page may point a domain of its own at this machine (DNS rebinding), but neither an IP address
    nor a name without a dot. `allowed` are the domains that the operator knows.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    return "." not in name or name in allowed or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

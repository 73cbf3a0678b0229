"""Who may ask, how much, and for how long: API keys, the size of a body, a time-out. Errors in OpenAI's shape."""

import asyncio
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterator, Sequence

from pydantic import Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medembed import storage
from medembed.config import Config, InputUri
from medembed.errors import ConfigError
from serve.errors import RequestError, error_response, explain, log_line

logger = logging.getLogger(__name__)

# Probes have no key; they say nothing but whether the server works, and which version.
OPEN = ("/health/live", "/health/ready", "/health/replicas")
_HASH = re.compile(r"[0-9a-fA-F]{64}")


class LimitsConfig(Config):
    """What one request may cost. Quotas across replicas are a gateway's."""

    max_items: int = Field(default=2048, ge=1, description="inputs of one request; OpenAI's limit is 2,048")
    max_tokens: int = Field(
        default=300_000, ge=1, description="tokens of one request in all, after cutting; OpenAI's limit is 300,000"
    )
    max_k: int = Field(default=100, ge=1, description="documents that one search may ask for")
    max_candidates: int = Field(default=10_000, ge=1, description="candidates that the funnel of one search may have")
    max_body_bytes: int = Field(
        default=8 << 20, ge=1024, description="bytes of a request's body, counted while it comes in; more gets a 413"
    )
    request_timeout_s: float = Field(
        default=60, gt=0, description="seconds from a request's first byte to its answer, queue included; then a 504"
    )
    max_queued_requests: int = Field(
        default=512, ge=1, description="requests that wait for a replica; more get a 429 with Retry-After at once"
    )
    retry_after_s: int = Field(default=1, ge=1, description="seconds that a 429 or 503 asks callers to wait")
    token_ids: bool = Field(
        default=False,
        description="take token ids as input; off, as LangChain and others send those of OpenAI's tokenizer unless "
        "told otherwise, and these would be embedded as nonsense",
    )


class KeysConfig(Config):
    """Where the sha256 hashes of valid API keys are; without a place, anyone who reaches the port may ask.

    A key is any random text. Its hash: `printf %s "$KEY" | sha256sum`. The key itself is kept nowhere.
    """

    file: InputUri | None = Field(
        default=None,
        description='file with one hash a line, as `printf %s "$KEY" | sha256sum` prints it; # begins a comment',
    )
    variable: str | None = Field(
        default=None, description="name of an environment variable with such hashes, separated by commas"
    )


def read_keys(config: KeysConfig) -> list[str]:
    """The hashes of valid keys; none if no place is configured. Raises ConfigError or StorageError, on one line."""
    found: list[str] = []
    if config.file is not None:
        found += _read_hashes(_decode(config.file), f"keys.file {config.file}")
    if config.variable is not None:
        value = os.environ.get(config.variable)
        if value is None:
            raise ConfigError(f"keys.variable: environment variable {config.variable} is not set.")
        found += _read_hashes(value.replace(",", "\n"), f"keys.variable {config.variable}")
    return found


class Guard:
    """ASGI middleware that lets in who has a key, counts the body, stops the clock, and answers what went wrong.

    A middleware, as keys are checked before anything is read, and time runs while a body comes in.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: LimitsConfig,
        hashes: Sequence[str] = (),
        open_paths: Sequence[str] = (),
        most: int | None = None,
    ) -> None:
        """`open_paths` need no key, beside the probes. `most` requests are in work or wait; more are refused unread:
        in an overload a refusal that costs as much as an answer leaves no time for answers.
        """
        self.app, self.limits, self.hashes = app, limits, tuple(hashes)
        self.open_paths = frozenset((*OPEN, *open_paths))
        self.most, self.begun = most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False
        self.begun += 1

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            self._admit(scope)
            async with asyncio.timeout(self.limits.request_timeout_s):
                await self.app(scope, self._counted(receive), watched)
        except Exception as error:  # the last place where a caller can be told
            answer = explain(error, self.limits.retry_after_s)
            if answer.status == 500:
                logger.error("request failed: %s", log_line(error.__cause__ or error))
            if not started:
                await error_response(answer)(scope, receive, send)
        finally:
            self.begun -= 1

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        # Below a route prefix of Serve, or a mount, the path has it in front.
        is_open = scope["path"].removeprefix(scope.get("root_path", "")) in self.open_paths
        if self.hashes and not is_open and not is_key(headers.get("authorization", ""), self.hashes):
            raise RequestError(
                401,
                "a valid API key is missing; send it as Authorization: Bearer <key>.",
                headers={"www-authenticate": "Bearer"},
            )
        if self.most is not None and self.begun > self.most and not is_open:
            from ray.serve.exceptions import BackPressureError

            raise BackPressureError(num_queued_requests=self.begun, max_queued_requests=self.most)
        length = headers.get("content-length", "")
        if length.isdecimal() and float(length) > self.limits.max_body_bytes:
            raise self._too_large()

    def _counted(self, receive: Receive) -> Receive:
        """`receive` that stops a body at the limit, whatever its header said; a chunked one has none."""
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
            413, f"the body is larger than {limit} bytes (limits.max_body_bytes); send fewer inputs at a time."
        )


def is_key(authorization: str, hashes: Sequence[str]) -> bool:
    """Whether a header "Bearer <key>" holds a valid key. Takes the same time whichever it is, and if it is none."""
    scheme, _, key = authorization.partition(" ")
    found = hashlib.sha256(key.strip().encode("latin-1")).hexdigest()
    matches = [hmac.compare_digest(found, known) for known in hashes]
    return scheme.lower() == "bearer" and any(matches)


def _decode(uri: str) -> str:
    try:
        return storage.read_bytes(uri).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"keys.file {uri}: not a text file; expected one sha256 hash a line.") from None


def _read_hashes(text: str, place: str) -> list[str]:
    """The first word of each line. Raises ConfigError that names line numbers only: a line may be a key by mistake."""
    found = list(_hashes_of(text, place))
    if not found:
        raise ConfigError(f"{place}: no hashes in there; without keys, leave it out.")
    return found


def _hashes_of(text: str, place: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not _HASH.fullmatch(words[0]):
            raise ConfigError(
                f"{place}: entry {number} is no sha256 hash (64 hexadecimal digits); "
                'make one with `printf %s "$KEY" | sha256sum`.'
            )
        yield words[0].lower()

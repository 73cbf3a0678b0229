"""Decide who may ask, how much and for how long: key, Host, size of a body, time-out.

What goes wrong with a request is answered here, in OpenAI's shape.
"""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Collection, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import RequestError, error_response, explain, log_line, queue_is_full
from serve.http.keys import Keys
from serve.http.limits import LimitsConfig
from serve.http.request_log import note

logger = logging.getLogger(__name__)

# Probes need no key: they say nothing but whether the server works, and which version.
OPEN_PATHS = ("/health/live", "/health/ready", "/health/replicas")
# Metrics need a key, but take no place: one reading serves all, and an overload is when they count.
_FREE_PATHS = ("/metrics",)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d+)?")


class Guard:
    """ASGI middleware that checks a request before it is read, and bounds its body and its time."""

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
        """`open_paths` need no key, beside the probes. Without keys, `hosts` are own domains.

        `most` requests are in work or wait. More are refused unread: in an overload, refusals that
        cost as much as answers leave no time for answers.
        """
        self.app = app
        self.limits = limits
        self.keys = keys
        self.open_paths = frozenset((*OPEN_PATHS, *open_paths))
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
        """Return how many places in work the request takes. Raises RequestError for none."""
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
        if is_open or path in _FREE_PATHS:
            return 0
        if self.most is not None and self.begun >= self.most:
            raise queue_is_full(self.limits.retry_after_s)
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
        """Return a `receive` that stops a body at the limit, whether or not it told its length."""
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
        return RequestError(
            413,
            f"the body is larger than {self.limits.max_body_bytes} bytes (limits.max_body_bytes); "
            "send fewer inputs at a time.",
        )


def is_own_name(host: str, allowed: Collection[str]) -> bool:
    """Whether a Host header is none that a web page elsewhere can make a browser send here.

    A page may point a domain of its own at this machine (DNS rebinding), but neither an IP address
    nor a name without a dot. `allowed` are the operator's domains.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    if "." not in name or name in allowed:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""Admit each request before its route, bound its size and its time, and log it when it has ended.

What goes wrong with a request is answered here, in OpenAI's shape. A log line has no text, no key,
and no path that a caller made up; a metric's labels have only values that the served model, the
routes or HTTP define.
"""

import asyncio
import ipaddress
import json
import logging
import re
import time
from collections.abc import Collection, Sequence
from typing import Any

from ray.serve.metrics import Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.config import LimitsConfig
from serve.errors import RequestError, error_response, explain, log_line, queue_is_full
from serve.http.keys import Keys
from serve.logs import now
from serve.replica.protocol import Model

logger = logging.getLogger(__name__)
access_log = logging.getLogger("serve.access")

# Probes need no key: they say nothing but whether the server works, and which version.
OPEN_PATHS = ("/health/live", "/health/ready", "/health/replicas")
# Metrics need a key, but take no place: one reading serves all, and an overload is when they count.
_FREE_PATHS = ("/metrics",)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d+)?")
_CLIENT_LEFT = 499  # the status of a request whose caller went away before there was one
_FACTS = "medembed.facts"  # where a route leaves what it notes
_MODEL = "medembed.model"  # and the model that stood behind its answer
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_MILLISECONDS = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000]
_OTHER = "other"


def note(scope: Scope, **facts: Any) -> None:
    """Add facts to a request's log line: counts and names, no text."""
    scope.setdefault(_FACTS, {}).update(facts)


def note_model(scope: Scope, model: Model) -> None:
    """Add which model answered to a request's log line, and to the labels of its metrics."""
    scope[_MODEL] = model
    note(scope, model=model["name"], version=model["version"])


class RequestLog:
    """Middleware that logs and counts a request when its answer is complete, failed or unwanted."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        labels = ("model", "route", "status")
        self.requests = Counter(
            "medembed_requests", description="Requests answered.", tag_keys=(*labels, "dimensions")
        )
        self.latency_ms = Histogram(
            "medembed_request_latency_ms",
            description="From a request's first byte to the end of its answer.",
            boundaries=_MILLISECONDS,
            tag_keys=labels,
        )
        self.tokens = Counter(
            "medembed_tokens", description="Tokens that models read.", tag_keys=("model", "route")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["method"] == "HEAD":  # the server that called this sends the head alone
            scope = {**scope, "method": "GET"}
        started = time.perf_counter()
        status = _CLIENT_LEFT

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note_status)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            if access_log.isEnabledFor(logging.INFO):
                access_log.info("%s", _log_line(scope, status, milliseconds))
            self._count(scope, status, milliseconds)

    def _count(self, scope: Scope, status: int, milliseconds: float) -> None:
        facts = scope.get(_FACTS, {})
        model: Model | None = scope.get(_MODEL)
        names = {
            "model": model["name"] if model else _OTHER,
            "route": getattr(scope.get("route"), "path", _OTHER),
        }
        labels = {**names, "status": str(status)}
        dimensions = facts.get("dimensions")
        offered = (None, model["width"], *model["dimensions"]) if model else (None,)
        label = str(dimensions or "none") if dimensions in offered else _OTHER
        self.requests.inc(tags={**labels, "dimensions": label})
        self.latency_ms.observe(milliseconds, tags=labels)
        if facts.get("tokens"):
            self.tokens.inc(facts["tokens"], tags=names)


def _log_line(scope: Scope, status: int, milliseconds: float) -> str:
    # Serve makes the request id, or takes it from the caller, and sends it back.
    request_id = Headers(scope=scope).get("x-request-id", "")
    line = {
        "time": now(),
        "method": scope["method"] if scope["method"] in _METHODS else _OTHER,
        "route": getattr(scope.get("route"), "path", None),
        "status": status,
        "ms": round(milliseconds, 2),
        "request_id": request_id if _REQUEST_ID.fullmatch(request_id) else None,
        **scope.get(_FACTS, {}),
    }
    return json.dumps(line)


class Guard:
    """Middleware that checks a request before it is read, and bounds its body and its time."""

    def __init__(
        self,
        app: ASGIApp,
        limits: LimitsConfig,
        keys: Keys | None = None,
        *,
        open_paths: Sequence[str] = (),
        hosts: Sequence[str] = (),
    ) -> None:
        """`open_paths` need no key, beside the probes. Without keys, `hosts` are own domains."""
        self.app = app
        self.limits = limits
        self.keys = keys
        self.open_paths = frozenset((*OPEN_PATHS, *open_paths))
        self.hosts = frozenset(map(str.lower, hosts))
        self.in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        is_answered = False
        places = 0  # that this request takes in work: who has no key takes none

        async def send_and_note(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            async with asyncio.timeout(self.limits.request_timeout_s):
                places = await self._admit(scope)
                await self.app(scope, self._bounded(receive), send_and_note)
        except Exception as error:  # the last place where a caller gets an answer
            answer = explain(error, self.limits.retry_after_s)
            if answer.status == 500:
                logger.error("request failed: %s", log_line(error.__cause__ or error))
            if not is_answered:
                await error_response(answer)(scope, receive, send)
        finally:
            self.in_work -= places

    async def _admit(self, scope: Scope) -> int:
        """Return how many places in work the request takes. Raises RequestError for none."""
        headers = Headers(scope=scope)
        # Below a route prefix of Serve, or a mount, the path has it in front.
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_open = path in self.open_paths
        if self.keys is None:
            _check_host_header(headers.get("host", ""), self.hosts)
        elif not is_open:
            note(scope, key=await self.keys.check(headers.getlist("authorization")))
        length = headers.get("content-length", "")
        if length.isdecimal() and float(length) > self.limits.max_body_bytes:
            raise self._too_large()
        if is_open or path in _FREE_PATHS:
            return 0
        # Unread: in an overload, refusals that cost as much as answers leave no time for answers.
        if self.in_work >= self.limits.max_queued_requests:
            raise queue_is_full(self.limits.retry_after_s)
        self.in_work += 1
        return 1

    def _bounded(self, receive: Receive) -> Receive:
        """Return a `receive` that stops a body at the limit, whether or not its length was sent."""
        size_bytes = 0

        async def receive_and_count() -> Message:
            nonlocal size_bytes
            message = await receive()
            size_bytes += len(message.get("body", b""))
            if size_bytes > self.limits.max_body_bytes:
                raise self._too_large()
            return message

        return receive_and_count

    def _too_large(self) -> RequestError:
        return RequestError(
            413,
            f"the body is larger than {self.limits.max_body_bytes} bytes (limits.max_body_bytes); "
            "send fewer inputs at a time.",
        )


def _check_host_header(host: str, allowed: Collection[str]) -> None:
    """Raise RequestError 421 for a domain that a web page elsewhere may have pointed here."""
    if host and not is_own_name(host, allowed):  # no browser leaves it out
        raise RequestError(
            421,
            "Host: found a domain that this server does not know as its own; ask it by its "
            "address, or have the operator name the domain in allowed_hosts, or set keys.",
            code="wrong_host",
        )


def is_own_name(host: str, allowed: Collection[str]) -> bool:
    """Return whether a Host header is safe: no foreign web page can make a browser send it.

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

"""Record each request once it has ended: a JSON line in the access log, and Prometheus' counts.

A line has no text, no key, and no path that a caller made up. A label has few values: those that
the served model, the routes or HTTP define.
"""

import json
import logging
import re
import time
from typing import Any

from ray.serve.metrics import Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.logs import now
from serve.replica.protocol import Model

logger = logging.getLogger(__name__)

CLIENT_LEFT = 499  # the status of a request whose caller went away before there was one
_FACTS = "medembed.facts"  # where a route leaves what it notes
_MODEL = "medembed.model"  # and the model that stood behind its answer
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_MILLISECONDS = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000]
_OTHER = "other"


def note(scope: Scope, **facts: Any) -> None:
    """Add facts to a request's line: counts and names, no text."""
    scope.setdefault(_FACTS, {}).update(facts)


def note_model(scope: Scope, model: Model) -> None:
    """Add which model answered to a request's line, and to what is counted."""
    scope[_MODEL] = model
    note(scope, model=model["name"], version=model["version"])


class RequestLog:
    """ASGI middleware that records a request when its answer is complete, failed or unwanted.

    HEAD is answered, and counted, as GET.
    """

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
        status = CLIENT_LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            if logger.isEnabledFor(logging.INFO):
                logger.info("%s", _line(scope, status, milliseconds))
            self._count(scope, status, milliseconds)

    def _count(self, scope: Scope, status: int, milliseconds: float) -> None:
        facts = scope.get(_FACTS, {})
        model: Model | None = scope.get(_MODEL)
        names = {
            "model": model["name"] if model else _OTHER,
            "route": getattr(scope.get("route"), "path", _OTHER),
        }
        labels = {**names, "status": str(status)}
        dimensions = _label_of(facts.get("dimensions"), model)
        self.requests.inc(tags={**labels, "dimensions": dimensions})
        self.latency_ms.observe(milliseconds, tags=labels)
        if facts.get("tokens"):
            self.tokens.inc(facts["tokens"], tags=names)


def _label_of(dimensions: int | None, model: Model | None) -> str:
    """Return dimensions that the model is made for; "other" for those that a caller made up."""
    if dimensions is None:
        return "none"
    known = (model["width"], *model["dimensions"]) if model else ()
    return str(dimensions) if dimensions in known else _OTHER


def _line(scope: Scope, status: int, milliseconds: float) -> str:
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

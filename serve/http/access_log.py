"""The access log: one JSON line per request. Never a text, a key, or a path that a caller made
up.
"""

import json
import logging
import re
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from serve.logs import now

logger = logging.getLogger(__name__)

# What a route adds to its line by `note`.
_FACTS = "medembed.facts"
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def note(scope: Scope, **facts: Any) -> None:
    """Adds facts to a request's line: counts and names, no text."""
    scope.setdefault(_FACTS, {}).update(facts)


def facts_of(scope: Scope) -> dict[str, Any]:
    """What `note` has been told so far."""
    facts: dict[str, Any] = scope.get(_FACTS, {})
    return facts


def log_request(scope: Scope, status: int, seconds: float) -> None:
    """Writes the line of a request that has ended: time, method, route, status, ms, request_id,
    facts.

    The request id is the `x-request-id` that Serve makes, or takes from the caller, and sends back.
    """
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", _line(scope, status, seconds))


def _line(scope: Scope, status: int, seconds: float) -> str:
    route, request_id = scope.get("route"), Headers(scope=scope).get("x-request-id", "")
    return json.dumps(
        {
            "time": now(),
            "method": scope["method"] if scope["method"] in _METHODS else "other",
            "route": getattr(route, "path", None),
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_id": request_id if _REQUEST_ID.fullmatch(request_id) else None,
            **facts_of(scope),
        }
    )

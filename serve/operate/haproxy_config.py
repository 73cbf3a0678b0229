"""Change what Ray Serve 2.60 writes for HAProxy, where Ray has no setting for it.

Ray renders its own template for each change of replicas, so the text is changed, not replaced:
replicas, routes and health checks stay Ray's. `tests/serve/test_haproxy.py` renders Ray's
template and fails when one of these lines has another form.
"""

import json
import re
from collections.abc import Sequence

from serve.errors import RequestError, replica_is_lost

_HEADERS_S = 10  # until the headers of a request are there: HAProxy has 4,096 connections at most
_LEFT_S = 5  # that a connection is kept which its caller has closed
# Errors as callers see them. An apostrophe in a message would end HAProxy's quotes.
_LOST = replica_is_lost(1)
_NOT_READY = RequestError(
    503,
    "nothing is served here yet; try again in 1 s.",
    code="not_ready",
    headers={"retry-after": "1"},
)
_NO_ROUTE = RequestError(404, "Not Found")
# HAProxy had the headers already.
_BROKEN = RequestError(400, "the body of this request is not valid HTTP, or did not come in time.")
# Serve's fallback proxy, which holds requests while no replica runs, speaks plain text.
_BY_SERVE = "{ status 404 408 500 503 } { res.hdr(content-type) -m beg text/plain }"

_DEFAULTS = "    mode http\n"  # the first line of `defaults`
_FRONTEND = "frontend http_frontend\n"
_HAS_REPLICAS = "    use_backend "
_OPEN_PORT = re.compile(r"^(\s*bind )(?:\*)?:(\d+)$", re.MULTILINE)
_FRONT_PORT = re.compile(rf"^{_FRONTEND}\s+bind \S+\n", re.MULTILINE)
_SPLICE = re.compile(r"^\s*option splice-(request|response)\n", re.MULTILINE)
_NO_BACKEND = re.compile(r"^(backend default_backend\n\s*http-request return ).*$", re.MULTILINE)
_ERROR_FILE = re.compile(r"^\s*errorfile \d+ (\S+)$", re.MULTILINE)


def change_config(config: str, host: str, descriptors: Sequence[int] = ()) -> str:
    """Return HAProxy's configuration, closed to strangers and with errors in OpenAI's shape.

    Its own ports listen on `host`. It takes requests from sockets with these descriptors (see
    `serve.operate.port_lender`), if there are any.
    """
    config = _close(config, host)
    if descriptors:
        config = _take_lent_port(config, descriptors)
    return _refuse_as_openai(_end_with_caller(config))


def error_files(config: str) -> set[str]:
    """Return the files with what HAProxy answers where no replica does."""
    return set(_ERROR_FILE.findall(config))


def error_file() -> bytes:
    """Return the content of such a file."""
    body = json.dumps(_LOST.body()).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Retry-After: {_LOST.headers['retry-after']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _close(config: str, host: str) -> str:
    """Close what Ray opens to all addresses and all users: who has the socket moves the traffic."""
    config = _OPEN_PORT.sub(rf"\g<1>{host}:\2", config)
    return config.replace(" mode 666 ", " mode 600 ", 1)


def _take_lent_port(config: str, descriptors: Sequence[int]) -> str:
    """Take requests from lent sockets.

    A HAProxy that was started anew knows no replicas for a moment. It takes no requests then, so
    that callers wait.
    """
    sockets = ",".join(f"fd@{descriptor}" for descriptor in descriptors)
    bind = f"    bind {sockets}\n" if _HAS_REPLICAS in config else ""
    return _FRONT_PORT.sub(f"{_FRONTEND}{bind}", config)


def _end_with_caller(config: str) -> str:
    """End what a caller has left, or stopped in mid-request, after some seconds.

    Without this a request that no replica reads goes on for an hour after its caller left. Without
    splice data go by HAProxy's buffers: with it, a caller who resets once a replica has answered
    before it read the body has HAProxy 2.8.25 loop at a whole core, until all of its connections
    end.
    """
    timeouts = (
        f"    timeout client-fin {_LEFT_S}s\n"
        f"    timeout server-fin {_LEFT_S}s\n"
        f"    timeout http-request {_HEADERS_S}s\n"
    )
    config = _SPLICE.sub("", config).replace(_DEFAULTS, _DEFAULTS + timeouts, 1)
    # By this header of Serve's a caller would have the request go on without him.
    kept = "    http-request del-header x-request-disconnect-disabled\n"
    return config.replace(_FRONTEND, _FRONTEND + kept, 1)


def _refuse_as_openai(config: str) -> str:
    """Give OpenAI's shape to what HAProxy refuses itself, and to what Serve's fallback proxy does.

    Without applications, as at the start, it is a 503; a path that is none of theirs is a 404. Of
    bytes that are no whole request HAProxy 2.8 makes no stream: it answers with HTML that is built
    into it, and no setting reaches that.
    """
    config = config.replace(_DEFAULTS, f"{_DEFAULTS}    http-error {_answer(_BROKEN)}\n", 1)
    lost = f"    http-response return {_answer(_LOST)} if {_BY_SERVE}\n"
    config = config.replace(_FRONTEND, _FRONTEND + lost, 1)
    refusal = _answer(_NO_ROUTE if _HAS_REPLICAS in config else _NOT_READY)
    return _NO_BACKEND.sub(lambda match: match[1] + refusal, config)


def _answer(error: RequestError) -> str:
    """Return an error as HAProxy's configuration has it."""
    headers = "".join(f" hdr {name} {value}" for name, value in error.headers.items())
    body = json.dumps(error.body())
    return f"status {error.status} content-type application/json string '{body}'{headers}"

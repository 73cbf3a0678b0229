"""What became of each request, told once it has ended, to the access log and the metrics."""

import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT_LEFT = 499  # the status of a request whose caller went away before there was one
Record = Callable[[Scope, int, float], None]  # (scope, status, seconds)


class Ended:
    """ASGI middleware that calls each `Record` when an answer is complete, or failed, or nobody
    waits for it.

    HEAD is answered, and counted, as GET.
    """

    def __init__(self, app: ASGIApp, records: Sequence[Record]) -> None:
        self.app, self.records = app, records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["method"] == "HEAD":  # the server that called this sends its head alone
            scope = {**scope, "method": "GET"}
        start, status = time.perf_counter(), CLIENT_LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - start
            for record in self.records:
                record(scope, status, seconds)

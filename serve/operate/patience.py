"""Ends connections on which no request comes, in Serve's own HTTP servers: its proxies, and
replicas behind HAProxy.

uvicorn 0.54 waits for the rest of a request's head as long as the caller likes, and neither it nor
Ray Serve 2.60 has a setting for that. Some thousand of these take all the files that a process may
open: then nobody is let in. Serve calls `limit_waiting` in each such process before it listens, if
Ray was started with `serve.operate.haproxy.IMPATIENT` in its environment.
"""

import asyncio

from uvicorn.protocols.http import auto

LOOKS_EVERY_S = 15.0  # so that a caller has this long, and at most twice


class Impatient(auto.AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # uvicorn chooses one of two classes at run time
    """A connection of uvicorn's that ends if two looks at it find the same state, and nobody at
    work.

    A request in work is the guard's to end; a connection that waits for a further one has uvicorn's
    own time-out.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._seen = self.cycle
        self._timer = self.loop.call_later(LOOKS_EVERY_S, self._look)

    def _look(self) -> None:
        is_same = self.cycle is self._seen
        if is_same and (self.transport.is_closing() or self._waits()):
            self.transport.abort()  # not close(): it would wait for a caller who reads nothing
        else:
            self._look_later()

    def _waits(self) -> bool:
        """Return whether a request has begun to come, or none ever came."""
        in_work = self.cycle is not None and not self.cycle.response_complete
        return not in_work and self.timeout_keep_alive_task is None


def limit_waiting() -> None:
    """Have each HTTP server that this process starts from now on end such connections."""
    auto.AutoHTTPProtocol = Impatient

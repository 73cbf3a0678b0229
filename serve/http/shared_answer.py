"""Give one answer to all who ask at about the same time: however many probes cost the same."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SharedAnswer(Generic[Answer]):
    """The result of a call, or its exception, for all who ask within some seconds of its begin."""

    def __init__(self, make: Callable[[], Awaitable[Answer]], seconds: float) -> None:
        self.make = make
        self.seconds = seconds
        self.began = 0.0
        self.task: asyncio.Future[Answer] | None = None

    async def get(self) -> Answer:
        """Return the result. A caller who leaves while it is made does not end it for others."""
        is_old = time.monotonic() - self.began >= self.seconds
        if self.task is None or (self.task.done() and is_old):
            self.began = time.monotonic()
            self.task = asyncio.ensure_future(self.make())
        return await asyncio.shield(self.task)

"""HTTP load on an embeddings server: closed loop (so many at a time) and open loop (so many a
second, whatever comes).

Latencies are those that the client sees, its own work included.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np
from pydantic_core import to_json

_WORDS = (
    "fever",
    "cough",
    "pain",
    "chest",
    "heart",
    "skin",
    "rash",
    "kidney",
    "liver",
    "blood",
    "bone",
    "brain",
    "nerve",
    "muscle",
    "joint",
    "lung",
    "throat",
    "stomach",
    "chronic",
    "acute",
    "severe",
    "mild",
    "sudden",
    "recurrent",
    "bleeding",
    "swelling",
    "treatment",
    "diagnosis",
    "symptoms",
    "causes",
    "prognosis",
    "risk",
)
_HEADERS = {"content-type": "application/json"}


@dataclass
class Load:
    """What a client saw: milliseconds of each answer that was a 200, how often which status came,
    wall time.
    """

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Return the answers with status 200 a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies in ms."""
        return (
            float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else float("nan")
        )


def make_bodies(count: int, texts: int, words: int, model: str) -> list[bytes]:
    """Bodies as OpenAI's clients send them (base64), each of other texts, the same in each run."""
    draw = random.Random(0)
    bodies = []
    for _ in range(count):
        drawn = [" ".join(draw.choices(_WORDS, k=words)) for _ in range(texts)]
        bodies.append(to_json({"model": model, "encoding_format": "base64", "input": drawn}))
    return bodies


async def closed_loop(
    url: str, bodies: Sequence[bytes | None], concurrency: int, seconds: float
) -> Load:
    """Ask by `concurrency` callers, each again once it has its answer; a body of None is a GET."""
    load = Load()
    upcoming = itertools.cycle(bodies)
    async with _session() as session:
        # connections
        await asyncio.gather(
            *(_ask(session, url, next(upcoming), Load()) for _ in range(concurrency))
        )
        start = time.perf_counter()

        async def call_until(end: float) -> None:
            while time.perf_counter() < end:
                await _ask(session, url, next(upcoming), load)

        await asyncio.gather(*(call_until(start + seconds) for _ in range(concurrency)))
        load.seconds = time.perf_counter() - start
    return load


async def open_loop(url: str, bodies: Sequence[bytes], per_second: float, seconds: float) -> Load:
    """Ask at random moments (Poisson), whether earlier requests are answered or not."""
    load = Load()
    start = time.perf_counter()
    async with _session() as session, asyncio.TaskGroup() as tasks:
        for body, moment in zip(
            itertools.cycle(bodies), _moments(per_second, seconds), strict=False
        ):
            await asyncio.sleep(max(0.0, start + moment - time.perf_counter()))
            tasks.create_task(_ask(session, url, body, load))
    load.seconds = time.perf_counter() - start
    return load


def _moments(per_second: float, seconds: float) -> Iterator[float]:
    draw = random.Random(0)
    moment = 0.0
    while (moment := moment + draw.expovariate(per_second)) < seconds:
        yield moment


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=120),
        headers=_HEADERS,
    )


async def _ask(session: aiohttp.ClientSession, url: str, body: bytes | None, load: Load) -> None:
    start = time.perf_counter()
    try:
        async with session.request("GET" if body is None else "POST", url, data=body) as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError):
        status = 0  # no answer
    load.statuses[status] += 1
    if status == 200:
        load.latencies_ms.append(1000 * (time.perf_counter() - start))

"""Callers of the benchmark of faults: each asks on a connection of its own, and keeps what came of
it and when.
"""

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from typing import NamedTuple

REQUEST = b'{"model": "medembed", "input": ["a tremor of the left hand"]}'
_PATIENCE_S = 75.0  # longer than limits.request_timeout_s
_NO_ANSWER = {"refused", "reset", "hung"}


class Answer(NamedTuple):
    """What a caller got, a status or why there was none, and when."""

    what: str
    start: float
    end: float


def ask(
    url: str, body: bytes | None = REQUEST, key: str = "", timeout_s: float = _PATIENCE_S
) -> Answer:
    """Send a request on a connection of its own."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    start = time.monotonic()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, body, headers), timeout=timeout_s
        ) as response:
            response.read()
            what = str(response.status)
    except urllib.error.HTTPError as error:
        kind = error.headers.get_content_type()
        what = str(error.code) if kind == "application/json" else f"{error.code} as {kind}"
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        names = {TimeoutError: "hung", ConnectionRefusedError: "refused"}
        what = next((name for kind, name in names.items() if isinstance(reason, kind)), "reset")
    return Answer(what, start, time.monotonic())


@contextmanager
def asking(
    url: str,
    body: bytes | None = REQUEST,
    key: str = "",
    *,
    every_s: float,
    timeout_s: float = _PATIENCE_S,
) -> Iterator[list[Answer]]:
    """Ask every so many seconds, whatever comes back, while the block lasts; the list is complete
    after it.
    """
    answers: list[Answer] = []
    is_over = threading.Event()

    def keep_asking() -> None:
        with ThreadPoolExecutor(500) as callers:
            while not is_over.wait(every_s):
                callers.submit(lambda: answers.append(ask(url, body, key, timeout_s)))

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join()


def tell(answers: Sequence[Answer]) -> str:
    """Count answers by what they were; the slowest, and how long the server was out of reach."""
    counts = ", ".join(
        f"{count} x {what}"
        for what, count in sorted(Counter(each.what for each in answers).items())
    )
    slowest = max((each.end - each.start for each in answers), default=0)
    return f"{counts}; slowest {slowest:.1f} s, out of reach {out_of_reach_s(answers):.1f} s"


def out_of_reach_s(answers: Sequence[Answer]) -> float:
    """Return the longest time from a request without any answer to the begin of one that has
    one.
    """
    longest, lost = 0.0, None
    for each in sorted(answers, key=lambda answer: answer.start):
        if each.what in _NO_ANSWER and lost is None:
            lost = each.start
        if lost is not None:
            longest = max(longest, (each.end if each.what in _NO_ANSWER else each.start) - lost)
        if each.what not in _NO_ANSWER:
            lost = None
    return longest

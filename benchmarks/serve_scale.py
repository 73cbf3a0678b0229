"""Replicas that follow load, 0 -> 1 -> 2 -> 1 -> 0: seconds of each step, and the first request at
no replica.

Exits with 1 if a request fails, or a step is not taken in time.
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks.serving import (
    MINILM,
    Answer,
    Load,
    Running,
    find_model,
    ingress_option,
    latencies,
    served,
    statuses,
)
from tests.tiny import SIGNS, SUBJECTS

TEXTS = [f"{sign} of the {subject}" for sign, subject in itertools.product(SIGNS, SUBJECTS)]
_LIMIT_S = 120


@click.command()
@click.option(
    "--clients",
    default=24,
    show_default=True,
    help="of the load step, each with a request in flight",
)
@click.option(
    "--delay", default=5, show_default=True, help="seconds of less load before a replica goes"
)
@ingress_option
@click.option(
    "--model", default=MINILM, show_default=True, help="or tiny, for a random one of two layers"
)
def main(clients: int, delay: int, ingress: str, model: str) -> None:
    """Prints when replicas came and went."""
    scaling = [
        "replicas=[0,2]",
        "autoscaling.target_requests=4",
        "autoscaling.look_back_s=5",
        "autoscaling.upscale_delay_s=1",
        f"autoscaling.downscale_delay_s={delay}",
    ]
    inputs = [TEXTS[start : start + 8] for start in range(0, len(TEXTS), 8)]
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        arguments = [f"model={find_model(model, Path(scratch))}", f"ingress={ingress}", *scaling]
        with served(Path(scratch), *arguments) as running:
            loads = _follow(running, inputs, clients, delay)
    answers = [*loads.trickle, *loads.step]
    print(
        f"{len(answers):,} requests: by status {statuses(answers)}; of the load step "
        f"{latencies(loads.step)}"
    )
    sys.exit(any(answer.status != 200 for answer in answers))


class Answers(NamedTuple):
    """Answers to one request a second, and to the clients of the load step."""

    trickle: list[Answer]
    step: list[Answer]


def _follow(running: Running, inputs: Sequence[Sequence[str]], clients: int, delay: int) -> Answers:
    """Load the server step by step and print how long its replicas take to follow."""
    # Behind HAProxy the start itself asks a replica, which goes again.
    _wait(running, 0, "a start without requests")
    started = time.monotonic()
    # One replica answers a request a second.
    with Load(running.url, inputs, rate=1) as trickle:
        _wait(running, 1, "0 -> 1, by a first request")
        while not trickle.answers:
            time.sleep(0.05)
        first = min(trickle.answers, key=lambda answer: answer.start)
        print(f"the first request was answered {first.end - started:.1f} s after it came")
        with Load(running.url, inputs, clients) as step:
            _wait(running, 2, f"1 -> 2, by {clients} clients at once")
            time.sleep(5)
        _wait(running, 1, f"2 -> 1, by one request a second ({delay} s are the delay)")
    _wait(running, 0, f"1 -> 0, by none ({delay} s are the delay)")
    return Answers(trickle.answers, step.answers)


def _wait(running: Running, replicas: int, what: str) -> None:
    """Wait until so many replicas serve, and print how long that took."""
    started = time.monotonic()
    while running.count_replicas() != replicas:
        if time.monotonic() - started > _LIMIT_S:
            raise SystemExit(f"{what}: not within {_LIMIT_S} s")
        time.sleep(0.1)
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()

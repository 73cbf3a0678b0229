"""Replicas that follow load, 0 -> 1 -> 2 -> 1 -> 0: seconds of each step, and the first request at no replica.

Exits with 1 if a request fails, or a step is not taken in time.
"""

import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import click

from benchmarks.serving import MINILM, Load, Running, find_model, latencies, served, statuses
from tests.tiny import SIGNS, SUBJECTS

TEXTS = [f"{sign} of the {part}" for sign in SIGNS for part in SUBJECTS]
_LIMIT_S = 120


@click.command()
@click.option("--clients", default=24, show_default=True, help="of the load step, each with a request in flight")
@click.option("--delay", default=5, show_default=True, help="seconds of less load before a replica goes")
@click.option("--model", default=MINILM, show_default=True, help="or tiny, for a random one of two layers")
def main(clients: int, delay: int, model: str) -> None:
    """Prints when replicas came and went."""
    scaling = [
        "replicas=[0,2]", "autoscaling.target_requests=4", "autoscaling.look_back_s=5", "autoscaling.upscale_delay_s=1",
        f"autoscaling.downscale_delay_s={delay}",
    ]  # fmt: skip
    inputs = [TEXTS[start : start + 8] for start in range(0, len(TEXTS), 8)]
    with (
        tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch,
        served(Path(scratch), f"model={find_model(model, Path(scratch))}", *scaling) as running,
    ):
        assert _count(running) == 0
        started = time.monotonic()
        with Load(running.url, inputs, rate=1) as trickle:  # a request a second, which one replica answers
            _wait(running, 1, "0 -> 1, by a first request")
            while not trickle.answers:
                time.sleep(0.05)
            print(f"the first request was answered {time.monotonic() - started:.1f} s after it came")
            with Load(running.url, inputs, clients) as step:
                _wait(running, 2, f"1 -> 2, by {clients} clients at once")
                time.sleep(5)
            _wait(running, 1, f"2 -> 1, by one request a second ({delay} s are the delay)")
        _wait(running, 0, f"1 -> 0, by none ({delay} s are the delay)")
        answers = [*trickle.answers, *step.answers]
    print(f"{len(answers):,} requests: by status {statuses(answers)}; of the load step {latencies(step.answers)}")
    sys.exit(any(answer.status != 200 for answer in answers))


def _wait(running: Running, wanted: int, what: str) -> None:
    """Waits until so many replicas serve, and prints how long that took."""
    started = time.monotonic()
    while _count(running) != wanted:
        if time.monotonic() - started > _LIMIT_S:
            raise SystemExit(f"{what}: not within {_LIMIT_S} s")
        time.sleep(0.1)
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)


def _count(running: Running) -> int:
    with urllib.request.urlopen(f"{running.url}/health/replicas", timeout=30) as response:
        return len(json.load(response)["replicas"])


if __name__ == "__main__":
    main()

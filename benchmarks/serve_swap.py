"""Promotions and rollbacks under constant load: failed requests, wrong vectors, latency, seconds
per swap.

Two versions with different weights; every answer's vectors are compared with those that the version
which it names makes in this process. Exits with 1 if a request fails, or an answer is not its
version's.
"""

import itertools
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

from benchmarks.serving import (
    MINILM,
    Answer,
    Load,
    ingress_option,
    latencies,
    make_versions,
    served,
    statuses,
)
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from serve.operate.promotion import promote
from serve.operate.swap import ServingConfig
from tests.tiny import SIGNS, SUBJECTS

TEXTS = [f"{sign} of the {subject}" for sign, subject in itertools.product(SIGNS, SUBJECTS)]
Vectors = dict[str, npt.NDArray[np.float32]]  # of each text [D]
# Batches of other sizes round differently, in the seventh digit; another version's vectors are far
# away.
_NEAR = 1e-4
_SETTLES_S = 15  # until the replicas have chosen their backend, for which they need all cores


@click.command()
@click.option("--swaps", default=100, show_default=True)
@click.option("--pause", default=0, show_default=True, help="seconds between swaps")
@click.option("--clients", default=4, show_default=True)
@click.option("--replicas", default=2, show_default=True)
@ingress_option
@click.option(
    "--model", default=MINILM, show_default=True, help="or tiny, for a random one of two layers"
)
def main(swaps: int, pause: int, clients: int, replicas: int, ingress: str, model: str) -> None:
    """Prints what came back while models were swapped."""
    with tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch:
        workspace = Path(scratch)
        registry, folders = make_versions(model, workspace)
        registry.set_alias(registry.resolve("models:/medembed/1"))
        expected = {str(number): _vectors(folder) for number, folder in enumerate(folders, start=1)}
        apart = min(np.abs(expected["1"][text] - expected["2"][text]).max() for text in TEXTS)
        assert apart > 10 * _NEAR, "the versions must be told apart"
        inputs = [TEXTS[start : start + 3] for start in range(0, len(TEXTS), 3)]
        swaps_done: list[Swap] = []
        arguments = [f"replicas={replicas}", f"ingress={ingress}"]
        with served(workspace, *arguments) as running:
            load = Load(running.url, inputs, clients)
            serving = ServingConfig(address=running.dashboard)
            with load:
                time.sleep(_SETTLES_S)
                for number in range(swaps):
                    version = registry.resolve(f"models:/medembed/{2 - number % 2}")
                    before = time.monotonic()
                    promote(registry, version, serving)
                    swaps_done.append(Swap(before, time.monotonic()))
                    time.sleep(pause)
                time.sleep(1)
            is_fine = _report(load.answers, expected, swaps_done)
            _date_failures(load.answers, swaps_done)
    sys.exit(not is_fine)


class Swap(NamedTuple):
    """When a promotion began and ended."""

    start: float
    end: float


def _vectors(folder: str) -> Vectors:
    vectors = Encoder.load(folder, EncodingConfig()).encode(TEXTS, "query")
    return dict(zip(TEXTS, vectors, strict=True))


def _report(answers: list[Answer], expected: dict[str, Vectors], swaps: list[Swap]) -> bool:
    """Print what came back; return whether nothing failed."""
    seconds = [swap.end - swap.start for swap in swaps]
    good = [answer for answer in answers if answer.status == 200]
    wrong = sum(not _is_of_its_version(answer, expected) for answer in good)
    failed = len(answers) - len(good)
    by_version = Counter(answer.headers.get("x-model-version") for answer in good)
    rate = len(answers) / (max(each.end for each in answers) - min(each.start for each in answers))
    print(
        f"{len(seconds)} swaps, promotions and rollbacks in turn: median {np.median(seconds):.1f} "
        f"s, longest {max(seconds):.1f} s, of which most is loading the model in one replica after "
        "the other"
    )
    print(
        f"{len(answers):,} requests, {rate:.0f} a second: by status {statuses(answers)}, by "
        f"version {dict(by_version)}"
    )
    print(f"{failed} failed, {wrong} whose vectors are not those of the version that they name")
    print(latencies(answers))
    return not failed and not wrong


def _date_failures(answers: list[Answer], swaps: list[Swap]) -> None:
    """Print which swaps were going on while a request failed."""
    zero = swaps[0].start
    for answer in answers:
        if answer.status == 200:
            continue
        during = []
        for number, swap in enumerate(swaps):
            if swap.start < answer.end and swap.end > answer.start:
                during.append(number)
        error = answer.body.get("error")
        when = f"from {answer.start - zero:.1f} to {answer.end - zero:.1f} s, during swaps {during}"
        print(f"status {answer.status} {when}: {error}")
    slowest = max(swaps, key=lambda swap: swap.end - swap.start)
    print(
        f"the longest was swap {swaps.index(slowest)}, {slowest.start - zero:.1f} to "
        f"{slowest.end - zero:.1f} s"
    )


def _is_of_its_version(answer: Answer, expected: dict[str, Vectors]) -> bool:
    of_version = expected[answer.headers["x-model-version"]]
    vectors = np.stack([of_version[text] for text in answer.texts])
    return bool(np.abs(answer.vectors() - vectors).max() < _NEAR)


if __name__ == "__main__":
    main()

"""How the fault benchmarks run: the kills that are drawn, the jobs that meet them, the report."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.fault_injection import Job, kill_tree
from medembed import storage
from medembed.errors import StorageError

ROOT = Path(__file__).parent.parent
PATIENCE_S = 600.0


class Kill(NamedTuple):
    """What dies, and when: at a share of the work, or as soon as something named appears."""

    kind: str
    moment: float | str

    def when(self) -> str:
        return self.moment if isinstance(self.moment, str) else f"{self.moment:.0%}"


class Outcome(NamedTuple):
    """What was done, and what is wrong with the result."""

    line: str
    faults: list[str]


def plan(
    kills: int, kinds: Sequence[str], draw: random.Random, last: tuple[str, str]
) -> list[Kill]:
    """Return the kills in order. The moments of a kind are spread evenly over its kills.

    The last two drivers die as soon as `last` appear, which no draw would meet.
    """
    planned = []
    for number in range(kills):
        kind = kinds[number % len(kinds)]
        turn = number // len(kinds)
        turns = len(range(number % len(kinds), kills, len(kinds)))
        moment: float | str = (turn + draw.random()) / turns
        if kind == "driver" and turns > 3 and turn >= turns - 2:
            moment = last[turn - turns]
        planned.append(Kill(kind, moment))
    return planned


def report(outcomes: Iterable[Outcome]) -> None:
    """Print a line for each kill and a summary; exit with 1 if anything was wrong."""
    start = time.monotonic()
    kills = 0
    wrong = 0
    for outcome in outcomes:
        kills += 1
        wrong += bool(outcome.faults)
        print(f"{kills:3} {outcome.line}: {'; '.join(outcome.faults) or 'right'}", flush=True)
    seconds = time.monotonic() - start
    print(f"{kills} kills, {seconds:.0f} s: {kills - wrong} ended right, {wrong} not")
    sys.exit(wrong > 0)


def start(command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Job:
    """Start Python with these arguments; its output is appended to the log.

    Without RAY_ADDRESS in the environment, a job starts a Ray of its own.
    """
    with open(log, "ab") as stream:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdout=stream,
            stderr=stream,
        )


def finish(job: Job, log: Path) -> list[str]:
    """Wait for a job's end and return what is wrong with it, nothing if it ended well."""
    try:
        status = job.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return [f"no end after {PATIENCE_S:.0f} s"]
    return [f"exit status {status}: {log.read_text().splitlines()[-1]}"] if status else []


def run_undisturbed(job: Job, log: Path) -> None:
    """Wait for the end of a job that must succeed."""
    try:
        if finish(job, log):
            raise SystemExit(log.read_text())
    finally:
        kill_tree(job)


def copy(source: str, target: str) -> str:
    """Copy a folder's files, also to a bucket; return the target."""
    for name in storage.list_files(source):
        content = storage.read_bytes(storage.join(source, name))
        storage.write_bytes(storage.join(target, name), content)
    return target


def glob(output: str, pattern: str) -> list[str]:
    """Return the files of an output; none while its folders are being removed."""
    with suppress(StorageError):
        return [name for name, _, _ in storage.find_files(storage.join(output, pattern))]
    return []

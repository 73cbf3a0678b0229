"""Three times what the server can do, for two minutes; then a replica killed under load.

Exits with 1 if it breaks one of these: refusals are 429 or 503 with Retry-After and in OpenAI's
shape; the p99 of what was accepted is within the time-out; memory stays flat; a request is answered
within 5 s of the overload's end; a killed replica is replaced, and costs nothing but 503s with
Retry-After.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.serving import (
    EMBEDDER,
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

# 50 tokens
TEXT = " and ".join(map("{} of the {}".format, SIGNS, SUBJECTS))
INPUTS = [[f"{number} {TEXT}"] for number in range(16)]
_COMMANDS = {
    "Embedder": EMBEDDER,
    "proxy": "ray::ProxyActor",
    "HAProxy": "haproxy.cfg",
}
_TIMEOUT_S = 30
_RECOVERY_S = 5
_SETTLE_S = 5  # from a replica that serves to requests that reach it, and to an empty queue
# Growth of resident memory from the first third of the overload to the last that is no leak:
# allocators breathe, and small processes by buffers.
_GROWTH = 0.10
_BUFFERS_MIB = 10


@dataclass
class Memory:
    """Resident bytes of the processes that requests go through, a row each second, while a `with`
    block lasts.
    """

    running: Running
    rows: list[dict[str, int]] = field(default_factory=list)

    def __enter__(self) -> "Memory":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        by_name = _processes(self.running)
        while not self._stop.wait(1):
            row = {}
            for name, processes in by_name.items():
                row[name] = sum(process.memory_info().rss for process in processes)
            self.rows.append(row)

    def growth(self, name: str) -> tuple[float, float]:
        """Return the medians in MiB of the first and of the last third."""
        sizes = [row[name] / 2**20 for row in self.rows]
        third = len(self.rows) // 3
        return float(np.median(sizes[:third])), float(np.median(sizes[-third:]))


@click.command()
@click.option("--seconds", default=120, show_default=True, help="of overload")
@click.option("--replicas", default=2, show_default=True)
@ingress_option
@click.option("--times", default=3.0, show_default=True, help="the capacity")
@click.option(
    "--model", default=MINILM, show_default=True, help="or tiny, for a random one of two layers"
)
def main(seconds: int, replicas: int, ingress: str, times: float, model: str) -> None:
    """Prints what happened, and what of it must not."""
    limits = [
        f"limits.request_timeout_s={_TIMEOUT_S}",
        "limits.max_queued_requests=32",
        f"ingress={ingress}",
    ]
    with (
        tempfile.TemporaryDirectory(prefix="medembed-bench-") as scratch,
        served(
            Path(scratch),
            f"model={find_model(model, Path(scratch))}",
            f"replicas={replicas}",
            *limits,
        ) as running,
    ):
        capacity = _capacity(running)
        faults = [
            *_overload(running, capacity * times, seconds),
            *_kill(running, capacity / 2, replicas),
        ]
    print("\n".join(f"VIOLATION: {fault}" for fault in faults) or "all kept")
    sys.exit(bool(faults))


def _capacity(running: Running) -> float:
    """Return the requests a second of 16 clients that wait for their answers."""
    with Load(running.url, INPUTS, 16):
        time.sleep(5)  # warm
    with Load(running.url, INPUTS, 16) as load:
        time.sleep(15)
    rate = len(load.answers) / 15
    print(
        f"capacity: {rate:.1f} requests of 50 tokens a second; {latencies(load.answers)}",
        flush=True,
    )
    return rate


def _overload(running: Running, rate: float, seconds: int) -> list[str]:
    processes = _processes(running)
    with Memory(running) as memory, Load(running.url, INPUTS, rate=rate) as load:
        time.sleep(seconds)
        end = time.monotonic()
        load.stop()
        recovered = _recovery(running, end)
    print(
        f"overload: {rate:.0f} requests a second for {seconds} s: by status "
        f"{statuses(load.answers)}"
    )
    print(
        f"accepted: {latencies(load.answers)}; an answer in less than a second again "
        f"{recovered:.1f} s after its end"
    )
    faults = _refusals(load.answers)
    times = [answer.end - answer.start for answer in load.answers if answer.status == 200]
    if not times or np.percentile(times, 99) > _TIMEOUT_S:
        faults.append(f"p99 of accepted requests is above {_TIMEOUT_S} s, or none was accepted")
    if recovered > _RECOVERY_S:
        faults.append(f"recovery took {recovered:.1f} s")
    for name in processes:
        first, last = memory.growth(name)
        print(
            f"resident memory of {name}: {first:.0f} MiB in the first third, {last:.0f} in the last"
        )
        if last > first * (1 + _GROWTH) and last > first + _BUFFERS_MIB:
            faults.append(f"memory of {name} grew")
    if _processes(running) != processes:
        faults.append("a process was replaced")
    return faults


def _processes(running: Running) -> dict[str, list[psutil.Process]]:
    """Return the processes that requests go through, by name."""
    by_name = {}
    for name, command in _COMMANDS.items():
        if processes := running.find(command):
            by_name[name] = sorted(processes, key=lambda process: process.pid)
    return by_name


def _recovery(running: Running, end: float) -> float:
    """Return the seconds from `end` to the end of a request that took less than one."""
    with Load(running.url, [["short"]], 1) as probe:
        while time.monotonic() - end <= _TIMEOUT_S:
            for answer in list(probe.answers):
                if answer.status == 200 and answer.end - answer.start < 1:
                    return answer.end - end
            time.sleep(0.05)
    return time.monotonic() - end


def _kill(running: Running, rate: float, replicas: int) -> list[str]:
    with Load(running.url, INPUTS, rate=rate) as load:
        time.sleep(5)
        running.find(EMBEDDER)[0].kill()
        killed = time.monotonic()
        _wait(lambda: running.count_replicas() < replicas)  # Serve has noticed
        noticed = time.monotonic() - killed
        _wait(lambda: running.count_replicas() == replicas)  # and another has loaded the model
        serves = time.monotonic()
        time.sleep(_SETTLE_S + 10)
    late = [answer for answer in load.answers if answer.start > serves + _SETTLE_S]
    print(
        f"a replica killed at half the capacity: noticed after {noticed:.1f} s, another serves "
        f"after {serves - killed:.1f} s; by status {statuses(load.answers)}, of the last 10 s "
        f"{statuses(late)}; {latencies(load.answers)}"
    )
    faults = _refusals(load.answers)
    if set(statuses(late)) != {200}:
        faults.append("requests fail after the killed replica was replaced")
    return faults


def _wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit("VIOLATION: the killed replica was not replaced within 120 s")
        time.sleep(0.2)


def _refusals(answers: Sequence[Answer]) -> list[str]:
    """Return what is wrong with answers that are no success."""
    wrong = []
    bare = 0
    for answer in answers:
        if answer.status in (429, 503):
            bare += not _is_proper(answer)
        elif answer.status != 200:
            wrong.append(answer)
    faults = []
    if wrong:
        faults.append(f"{len(wrong)} answers with status {statuses(wrong)}")
    if bare:
        faults.append(f"{bare} refusals without Retry-After or OpenAI's shape")
    return faults


def _is_proper(answer: Answer) -> bool:
    error = answer.body.get("error")
    return (
        "retry-after" in answer.headers
        and isinstance(error, dict)
        and set(error) >= {"message", "type", "code"}
    )


if __name__ == "__main__":
    main()

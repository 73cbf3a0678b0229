"""Progress of long work: a bar with rate and ETA on a terminal, a line now and then in a log."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from medembed.language import to_translate, tr

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
_LOG_INTERVAL_S = 10.0
_FOLLOW_INTERVAL_S = 2.0
_LOG_FORMAT = to_translate(
    "  {desc}: {n_fmt} of {total_fmt}{unit} ({percentage:.0f}%), {rate_fmt}, ETA "
    "{remaining}{postfix}\n"
)


@contextmanager
def stage(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Log that a stage begins and how long it took, and notes that in `seconds` under its name.

    The name is English, marked `to_translate`; so are those of bars, and their units.
    """
    logger.info("== %s", tr(name))
    start = time.monotonic()
    yield
    seconds[name] = time.monotonic() - start
    logger.info(tr("   {name}: {seconds:.0f} s", name=tr(name), seconds=seconds[name]))


def track(
    items: Iterable[tuple[int, Item]],
    total: int,
    name: str,
    unit: str,
    tokens: Callable[[Item], int] | None = None,
) -> Iterator[Item]:
    """Yield the items, each given with the units it finishes, while a bar counts up to `total`.

    With `tokens`, which says how many are in an item, the bar shows their rate too.
    """
    done = 0
    with _bar(total, name, unit) as bar:
        for units, item in items:
            if tokens is not None:
                done += tokens(item)
                bar.set_postfix_str(_token_rate(done, bar, units), refresh=False)
            bar.update(units)
            yield item


def track_rows(
    results: Iterable[dict[str, Any]],
    total: int,
    name: str,
    unit: str,
    tokens: Callable[[dict[str, Any]], int] | None = None,
) -> Iterator[dict[str, Any]]:
    """`track` results that say in `rows` how many units each finishes."""
    return track(((int(row["rows"]), row) for row in results), total, name, unit, tokens)


def _token_rate(tokens: int, bar: Any, units: int) -> str:
    """Return tokens per second: those of an average unit, at the bar's rate of units."""
    state = bar.format_dict
    finished = state["n"] + units
    rate = state["rate"] or finished / max(state["elapsed"], 1e-9)
    return tr("{rate:,.0f} tokens/s", rate=rate * tokens / max(finished, 1))


class Progress:
    """Where a remote worker leaves how far it is; made a Ray actor by `watch`."""

    def __init__(self) -> None:
        self.done = 0
        self.note = ""

    def write(self, done: int, note: str) -> None:
        self.done = done
        self.note = note

    def read(self) -> tuple[int, str]:
        return self.done, self.note


@contextmanager
def watch(total: int, name: str, unit: str) -> Iterator[Any]:
    """Yield the handle of a Progress that a worker may `write.remote(done, note)` to; a bar here
    follows it.
    """
    import ray

    report = ray.remote(num_cpus=0)(Progress).remote()
    finished = threading.Event()

    def show(bar: Any) -> None:
        try:
            done, note = ray.get(report.read.remote())
        # the actor's node is gone; the work may go on elsewhere, unseen
        except ray.exceptions.RayError:
            return
        bar.set_postfix_str(note, refresh=False)
        if done > bar.n:
            bar.update(done - bar.n)

    def follow(bar: Any) -> None:
        while not finished.wait(_FOLLOW_INTERVAL_S):
            show(bar)

    with _bar(total, name, unit) as bar:
        follower = threading.Thread(target=follow, args=(bar,), daemon=True)
        follower.start()
        try:
            yield report
        finally:
            finished.set()
            follower.join()
        show(bar)


def _bar(total: int, name: str, unit: str) -> Any:
    name = tr(name)
    unit = f" {tr(unit)}"
    if sys.stderr.isatty():
        return tqdm(total=total, desc=f"  {name}", unit=unit, mininterval=0.2)
    line = tr(_LOG_FORMAT)
    return tqdm(total=total, desc=name, unit=unit, bar_format=line, mininterval=_LOG_INTERVAL_S)

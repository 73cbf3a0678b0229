"""Two ways of doing the same work, timed in turn in one run: medians, and the ratio pair by
pair.
"""

import statistics
import time
from collections.abc import Callable


def compare(
    name: str, ours: Callable[[], object], theirs: Callable[[], object], pairs: int = 5
) -> None:
    """Prints median seconds of each and the median, lowest and highest ratio theirs / ours over the
    pairs.
    """
    ours(), theirs()  # warm-up
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(pairs)]
    ratios = sorted(other / one for one, other in times)
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"{name}: ours {mine:.3f} s, theirs {other:.3f} s, {statistics.median(ratios):.2f} times "
        f"as fast ({ratios[0]:.2f} to {ratios[-1]:.2f} over {pairs} pairs)",
        flush=True,
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

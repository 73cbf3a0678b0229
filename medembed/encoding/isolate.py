"""Documents that crash the encoder, by an exception or by ending its process, are set aside and named.

An exception is narrowed down by halves. A process that dies leaves a note of what it was at: the item is tried again in
smaller and smaller steps, until the note names one document.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed import storage
from medembed.encoding.staging import Staging
from medembed.errors import DataError

Encode = Callable[[Sequence[str]], tuple[npt.NDArray[np.float32], list[int]]]
_SMALLER = 16  # by how much the steps of an item's attempts shrink
_ATTEMPTS = 5  # after so many even the largest item goes row by row


class Attempts:
    """How often a run began an item, what it was at when its process died, and which of its rows crash.

    A process may die for other reasons: a driver's death is not counted, and a row is blamed at its second death alone.
    """

    def __init__(self, staging: Staging, number: int, run: str) -> None:
        """`run` names this run of the driver."""
        self.uri, self.run = storage.join(staging.uri, f"{number:07d}.attempts"), run
        state: dict[str, Any] = json.loads(storage.read_bytes(self.uri)) if storage.exists(self.uri) else {}
        is_same = state.get("run") == run
        self.count = int(state["count"]) + 1 if is_same else 1
        self.failed = [int(row) for row in state.get("failed", ())]
        self.suspects = [int(row) for row in state["suspects"]] if is_same else []
        if is_same and len(state["at"]) == 1:
            row = int(state["at"][0])
            (self.failed if row in self.suspects else self.suspects).append(row)
        self.note([])

    def step(self, rows: int) -> int:
        """How many of so many rows to encode at a time: all in the first attempt, a 16th in the second, ..."""
        return -(-rows // _SMALLER ** min(self.count - 1, _ATTEMPTS))

    def note(self, rows: Sequence[int]) -> None:
        """Leaves word of what is tried now, in case nobody comes back to tell."""
        state = {"run": self.run, "count": self.count, "failed": self.failed, "suspects": self.suspects,
                 "at": list(rows)}  # fmt: skip
        storage.write_bytes(self.uri, json.dumps(state).encode())


def encode_apart(
    encode: Encode, texts: Sequence[str], attempts: Attempts, limit: int
) -> tuple[npt.NDArray[np.float32], list[int], list[int]]:
    """(embeddings of the rows that can be encoded, their tokens, those rows).

    Raises DataError if more than `limit` rows crash the encoder.
    """
    _check_limit(attempts.failed, limit, "its process ended")
    waiting = [row for row in range(len(texts)) if row not in attempts.failed]
    step = max(attempts.step(len(waiting)), 1)
    blocks = [[row] for row in waiting if row in attempts.suspects]  # alone and first, so that it is soon known
    others = [row for row in waiting if row not in attempts.suspects]
    blocks += [others[start : start + step] for start in range(0, len(others), step)]
    done: dict[int, tuple[npt.NDArray[np.float32], int]] = {}
    while blocks:
        block = blocks.pop(0)
        if attempts.count > 1:
            attempts.note(block)
        try:
            vectors, lengths = encode([texts[row] for row in block])
        except Exception as error:  # whatever a model or tokenizer raises on a text
            if len(block) > 1:
                blocks[:0] = [block[: len(block) // 2], block[len(block) // 2 :]]
                continue
            attempts.failed.append(block[0])
            _check_limit(attempts.failed, limit, type(error).__name__)
            continue
        done |= dict(zip(block, zip(vectors, lengths, strict=True), strict=True))
    kept = sorted(done)
    width = len(next(iter(done.values()))[0]) if done else 0
    vectors = np.stack([done[row][0] for row in kept]) if kept else np.zeros((0, width), np.float32)
    return vectors, [done[row][1] for row in kept], kept


def _check_limit(failed: Sequence[int], limit: int, reason: str) -> None:
    if len(failed) > limit:
        raise DataError(
            f"{len(failed)} documents of one item crash the encoder ({reason}), more than encoding.max_failed={limit}: "
            "mend them, or raise the limit."
        ) from None

"""Documents that crash the encoder, by an exception or by ending its process, are set aside and
named.

An exception is narrowed down by halves, and a document is blamed only if the encoder can still
encode a made-up text. A process that dies leaves a note of what it was at: the item is tried again
in smaller and smaller steps, until the note names one document.
"""

import json
import logging
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medembed import storage
from medembed.encoding.staging import Staging
from medembed.errors import DataError, ModelError
from medembed.privacy import show_id

logger = logging.getLogger(__name__)

Encode = Callable[[Sequence[str]], tuple[npt.NDArray[np.float32], list[int]]]
_MADE_UP = "fever of 39 degrees and a dry cough"
_DIED = "its process ended"
_SMALLER = 16  # by how much the steps of an item's attempts shrink
_ATTEMPTS = 5  # after so many even the largest item goes row by row


class Attempts:
    """How often a run began an item, what it was at when its process died, and which of its rows
    crash, with what.

    A process may die for other reasons: a driver's death is not counted, and a row is blamed at its
    second death alone.
    """

    def __init__(self, staging: Staging, number: int, run: str) -> None:
        """`run` names this run of the driver."""
        self.uri, self.run = storage.join(staging.uri, f"{number:07d}.attempts"), run
        state: dict[str, Any] = (
            json.loads(storage.read_bytes(self.uri)) if storage.exists(self.uri) else {}
        )
        is_same = state.get("run") == run
        self.count = int(state["count"]) + 1 if is_same else 1
        self.failed = {int(row): str(reason) for row, reason in state.get("failed", {}).items()}
        self.suspects = [int(row) for row in state["suspects"]] if is_same else []
        if is_same and len(state["at"]) == 1:
            row = int(state["at"][0])
            if row in self.suspects:
                self.failed[row] = _DIED
            else:
                self.suspects.append(row)
        self.note([])

    def step(self, rows: int) -> int:
        """How many of so many rows to encode at a time: all in the first attempt, a 16th in the
        second, ...
        """
        return -(-rows // _SMALLER ** min(self.count - 1, _ATTEMPTS))

    def note(self, rows: Sequence[int]) -> None:
        """Leaves word of what is tried now, in case nobody comes back to tell."""
        state = {
            "run": self.run,
            "count": self.count,
            "failed": self.failed,
            "suspects": self.suspects,
            "at": list(rows),
        }
        storage.write_bytes(self.uri, json.dumps(state).encode())


def encode_apart(
    encode: Encode, texts: Sequence[str], attempts: Attempts, limit: int
) -> tuple[npt.NDArray[np.float32], list[int], list[int]]:
    """(embeddings of the rows that can be encoded, their tokens, those rows).

    Raises DataError if more than `limit` rows crash the encoder, ModelError if a made-up text does
    so, too.
    """
    _check_limit(attempts.failed, limit)
    waiting = [row for row in range(len(texts)) if row not in attempts.failed]
    step = max(attempts.step(len(waiting)), 1)
    # alone and first, so that it is soon known
    blocks = [[row] for row in waiting if row in attempts.suspects]
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
            _check_encoder(encode, error)
            attempts.failed[block[0]] = type(error).__name__
            _check_limit(attempts.failed, limit)
            continue
        done |= dict(zip(block, zip(vectors, lengths, strict=True), strict=True))
    kept = sorted(done)
    width = len(next(iter(done.values()))[0]) if done else 0
    vectors = np.stack([done[row][0] for row in kept]) if kept else np.zeros((0, width), np.float32)
    return vectors, [done[row][1] for row in kept], kept


def collect_failed(parts: Sequence[Mapping[str, str]], limit: int) -> dict[str, str]:
    """{id: type of the error} of all items' documents that crash the encoder, by id.

    Raises DataError if they are more than the limit.
    """
    failed = dict(ChainMap(*map(dict, parts)))
    if len(failed) > limit:
        raise DataError(
            f"corpus: {len(failed)} documents crash the encoder ({_join(failed.values())}), e.g. "
            f"id {show_id(min(failed))!r}; more than encoding.max_failed={limit}: mend them, or "
            "raise the limit. What is encoded is kept for the next run."
        )
    if failed:
        logger.warning(
            "%d documents crash the encoder and are left out: %s", len(failed), list_failed(failed)
        )
    return dict(sorted(failed.items()))


def list_failed(failed: Mapping[str, str]) -> str:
    """The ids of these documents, each with the type of its error."""
    return ", ".join(f"{show_id(name)} ({failed[name]})" for name in sorted(failed))


def _check_encoder(encode: Encode, error: Exception) -> None:
    """Raises ModelError if it is not the row that crashes the encoder: memory or a GPU may be gone
    by now.
    """
    try:
        encode([_MADE_UP])
    except Exception as again:
        raise ModelError(
            f"the encoder failed with {type(error).__name__}, and fails on a made-up text too "
            f"({type(again).__name__}): no document is at fault, but its model or this machine."
        ) from None


def _check_limit(failed: Mapping[int, str], limit: int) -> None:
    if len(failed) > limit:
        raise DataError(
            f"{len(failed)} documents of one item crash the encoder ({_join(failed.values())}), "
            f"more than encoding.max_failed={limit}: mend them, or raise the limit."
        ) from None


def _join(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(set(reasons)))

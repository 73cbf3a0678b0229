"""Small batches by tokens, not rows: texts of like length together, so that little padding is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_STEADY_ROWS, _STEADY_TOKENS = 16, 512


@dataclass(frozen=True)
class Batch:
    """Token ids and attention mask of some texts, int64 [B, longest], and the texts' positions in their window."""

    positions: list[int]
    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]


def batch_by_tokens(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Positions of texts in batches of at most `max_tokens`, padding included, longest first.

    A batch costs its row count times its longest text; a text longer than the budget goes alone. Ties keep
    their order, so the same lengths always give the same batches.
    """
    batches: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and longest * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(position)
        else:
            batches.append([position])
            longest = lengths[position]
    return batches


def make_batches(
    tokens: Sequence[Sequence[int]], max_tokens: int, *, pad_id: int = 0, pad_left: bool = False
) -> Iterator[Batch]:
    """The batches of `batch_by_tokens`, longest first, each padded when it is asked for."""
    for positions in batch_by_tokens([len(ids) for ids in tokens], max_tokens):
        yield pad([tokens[position] for position in positions], positions, pad_id=pad_id, pad_left=pad_left)


def make_steady_batches(tokens: Sequence[Sequence[int]]) -> Iterator[Batch]:
    """Batches in which a text's vector has the same bits whatever other texts there are.

    The last bits depend on a batch's shape: here all batches of texts of one length have one, without padding, and a
    last one is filled up with its first text. Longer texts come in smaller batches.
    """
    of_length: dict[int, list[int]] = {}
    for position, ids in enumerate(tokens):
        of_length.setdefault(len(ids), []).append(position)
    for length, positions in sorted(of_length.items(), reverse=True):
        rows = min(_STEADY_ROWS, max(_STEADY_TOKENS // max(length, 1), 1))
        for start in range(0, len(positions), rows):
            part = positions[start : start + rows]
            part += [part[0]] * (rows - len(part))
            yield pad([tokens[position] for position in part], part)


def pad(tokens: Sequence[Sequence[int]], positions: list[int], *, pad_id: int = 0, pad_left: bool = False) -> Batch:
    """One batch as wide as its longest text; the mask is 1 where a token is a text's own."""
    width = max(map(len, tokens))
    ids = np.full((len(tokens), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(tokens), width), dtype=np.int64)
    for row, own in enumerate(tokens):
        place = slice(width - len(own), width) if pad_left else slice(0, len(own))
        ids[row, place], mask[row, place] = own, 1
    return Batch(positions, ids, mask)


def count_padding(lengths: Sequence[int], max_tokens: int) -> int:
    """Tokens that the batches of texts of these lengths are filled up with."""
    return sum(
        max(lengths[row] for row in rows) * len(rows) - sum(lengths[row] for row in rows)
        for rows in batch_by_tokens(lengths, max_tokens)
    )

"""Small batches by tokens, not rows: texts of like length together, for little padding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

_STEADY_ROWS = 16
_STEADY_TOKENS = 512
Features = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Layout:
    """How a model wants the texts of a batch: padded to the longest, or flat, one behind the other.

    `pads` has the number that fills up each column of tokens: {"input_ids": 0}.
    """

    pads: Mapping[str, int] = field(default_factory=lambda: {"input_ids": 0})
    is_left: bool = False
    is_flat: bool = False


@dataclass(frozen=True)
class Batch:
    """What a model reads of some texts: its `features`, and the texts' positions.

    Padded: int64 [B, longest] each, with an `attention_mask`. Flat: `input_ids` int64 [tokens] and
    `offsets` int64 [B]. `shared` are settings that go with all texts, such as their task.
    """

    positions: list[int]
    features: Features
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Tokens of the texts, without padding."""
        mask = self.features.get("attention_mask")
        return int(self.features["input_ids"].size if mask is None else mask.sum())


@dataclass(frozen=True)
class Tokens:
    """Texts as a model reads them. `columns` has a list of numbers for each text: its token ids,
    and what stands beside them. Texts with the same layout and the same `shared` settings fit into
    one batch.
    """

    columns: dict[str, list[list[int]]]
    layout: Layout = field(default_factory=Layout)
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> list[list[int]]:
        return self.columns["input_ids"]

    @property
    def lengths(self) -> list[int]:
        return list(map(len, self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def fits(self, other: "Tokens") -> bool:
        """Return whether the texts of both can stand in one batch."""
        return self.layout == other.layout and self.shared == other.shared

    def take(self, start: int, end: int) -> "Tokens":
        """Return the texts from `start` to before `end`."""
        columns = {name: column[start:end] for name, column in self.columns.items()}
        return Tokens(columns, self.layout, self.shared)

    def join(self, others: Sequence["Tokens"]) -> "Tokens":
        """Return these texts and, behind them, those of others that fit."""
        columns = {}
        for name, column in self.columns.items():
            columns[name] = list(column)
            for other in others:
                columns[name] += other.columns[name]
        return Tokens(columns, self.layout, self.shared)

    def batch(self, rows: list[int]) -> Batch:
        """Return the texts at these positions, which may repeat, as one batch."""
        columns = {name: [column[row] for row in rows] for name, column in self.columns.items()}
        features = _lay_flat(columns) if self.layout.is_flat else _pad(columns, self.layout)
        return Batch(rows, features, self.shared)


def batch_by_tokens(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Return positions of texts in batches of at most `max_tokens`, longest first.

    A batch costs its row count times its longest text; a text longer than the budget goes alone.
    Ties keep their order, so the same lengths always give the same batches.
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


def make_batches(tokens: Tokens, max_tokens: int) -> Iterator[Batch]:
    """Yield the batches of `batch_by_tokens`, longest first, each padded when it is asked for."""
    for positions in batch_by_tokens(tokens.lengths, max_tokens):
        yield tokens.batch(positions)


def make_steady_batches(tokens: Tokens) -> Iterator[Batch]:
    """Yield batches in which a text's vector has the same bits whatever other texts there are.

    The last bits depend on a batch's shape: here all batches of texts of one length have one,
    without padding, and a last one is filled up with its first text. Longer texts come in smaller
    batches.
    """
    of_length: dict[int, list[int]] = {}
    for position, length in enumerate(tokens.lengths):
        of_length.setdefault(length, []).append(position)
    for length, positions in sorted(of_length.items(), reverse=True):
        rows = min(_STEADY_ROWS, max(_STEADY_TOKENS // max(length, 1), 1))
        for start in range(0, len(positions), rows):
            chosen = positions[start : start + rows]
            chosen += [chosen[0]] * (rows - len(chosen))
            yield tokens.batch(chosen)


def count_padding(lengths: Sequence[int], max_tokens: int) -> int:
    """Count the tokens that batches of texts of these lengths are filled up with."""
    padded = 0
    for rows in batch_by_tokens(lengths, max_tokens):
        padded += lengths[rows[0]] * len(rows)  # its first text is its longest
    return padded - sum(lengths)


def _pad(columns: Mapping[str, list[list[int]]], layout: Layout) -> Features:
    """Pad each column to its longest text; the mask is 1 where a token is a text's own."""
    lengths = list(map(len, columns["input_ids"]))
    width = max(1, *lengths)
    features = {"attention_mask": np.zeros((len(lengths), width), dtype=np.int64)}
    for name in columns:
        features[name] = np.full((len(lengths), width), layout.pads[name], dtype=np.int64)
    for row, length in enumerate(lengths):
        own = slice(width - length, width) if layout.is_left else slice(0, length)
        features["attention_mask"][row, own] = 1
        for name, column in columns.items():
            features[name][row, own] = column[row]
    return features


def _lay_flat(columns: Mapping[str, list[list[int]]]) -> Features:
    """Put all ids in one row, and note where each text begins."""
    ids = columns["input_ids"]
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)[:-1]
    return {"input_ids": np.fromiter(chain.from_iterable(ids), dtype=np.int64), "offsets": offsets}

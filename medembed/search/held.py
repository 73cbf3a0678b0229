"""Hold rows in memory as float32, as int8 codes or as bits, and multiply queries with their first
values.

Codes are turned into numbers block by block, while these are in a core's cache: int8 is read from
memory at a quarter of the bytes, and one query takes half of float32's time at 384 dimensions. What
a product may be off, as a multiple of `error_bound`, follows from how it is put together; the
scores that rank are those of `take`, which gives rows as the table's codec reads them.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from medembed.bits import from_bits
from medembed.codes import Ranges, from_int8
from medembed.errors import DataError
from medembed.search.float64_scores import Numbers, Vectors
from medembed.search.multiply import Floats
from medembed.search.ranking import Rows

Codes = npt.NDArray[np.int8]
Words = npt.NDArray[np.uint64]
Parts = Iterable[npt.NDArray[Any]]
_LENGTHS_AT_ONCE = 65_536
_ROWS_AT_ONCE = 512  # of codes that become float32 in the cache: 0.8 MB of 384 values
_BYTES = 8  # of a word
_STEPS = 255


class Lengths(NamedTuple):
    """1 / length of each row's first values, float32 [N], and how many times `error_bound` their
    products may be off.
    """

    inverse: Floats
    error_scale: float


class Prefix(Protocol):
    """The first values of N rows, [N, d]."""

    def multiply(self, queries: Vectors, start: int, stop: int, out: Floats) -> None:
        """Write the products of queries [Q, d] with the rows from `start` to `stop` into `out`."""

    def take(self, rows: Numbers) -> Vectors:
        """Return these rows as the table's codec reads them, float32 [n, d or more]."""


class HeldRows(Protocol):
    """N rows in one of the types of numbers."""

    def prefix(self, dimensions: int) -> Prefix: ...

    def lengths(self, dimensions: int) -> Lengths: ...


class FloatRows:
    """Vectors float32 in blocks of columns [N, n], cut where searches begin and end most often, so
    that 64 values of 384 are read alone.
    """

    def __init__(self, blocks: Sequence[Vectors]) -> None:
        self.blocks = blocks

    @classmethod
    def of(cls, rows: Rows, parts: Parts, dimensions: Sequence[int], width: int) -> "FloatRows":
        """Place parts [n, width] where `rows` says. Raises DataError for NaN or infinity."""
        return cls(_place(rows, parts, sorted({0, *dimensions, width})))

    def prefix(self, dimensions: int) -> "FloatPrefix":
        blocks = []
        start = 0
        for block in self.blocks:
            if start < dimensions:
                blocks.append(block[:, : dimensions - start])
            start += block.shape[1]
        return FloatPrefix(blocks)

    def lengths(self, dimensions: int) -> Lengths:
        """Measure them; finite for zero rows, too."""
        squares = np.zeros(len(self.blocks[0]), dtype=np.float32)
        for start in range(0, len(squares), _LENGTHS_AT_ONCE):
            here = slice(start, start + _LENGTHS_AT_ONCE)
            first = 0
            for block in self.blocks:
                values = block[here, : max(0, dimensions - first)]
                squares[here] += np.einsum("nd,nd->n", values, values)
                first += block.shape[1]
        return Lengths(_inverse(squares), 1.0)


class FloatPrefix:
    """A `Prefix` of blocks of columns, multiplied as they lie."""

    def __init__(self, blocks: Sequence[Vectors]) -> None:
        self.blocks = blocks

    def multiply(self, queries: Vectors, start: int, stop: int, out: Floats) -> None:
        first = self.blocks[0]
        np.matmul(queries[:, : first.shape[1]], first[start:stop].T, out=out)
        column = first.shape[1]
        for block in self.blocks[1:]:
            last = column + block.shape[1]
            out += queries[:, column:last] @ block[start:stop].T
            column = last

    def take(self, rows: Numbers) -> Vectors:
        return np.concatenate([block[rows] for block in self.blocks], axis=1)


class Int8Rows:
    """Codes int8 [N, D] by ranges."""

    def __init__(self, codes: Codes, ranges: Ranges) -> None:
        self.codes = codes
        self.ranges = ranges

    @classmethod
    def of(cls, rows: Rows, parts: Parts, ranges: Ranges, width: int) -> "Int8Rows":
        """Place parts [n, width] where `rows` says."""
        codes = np.empty((len(rows.ids), width), dtype=np.int8)
        start = 0
        for part in parts:
            codes[rows.place[start : start + len(part)]] = part
            start += len(part)
        assert start == len(codes), "as many codes as ids"
        return cls(codes, ranges)

    def prefix(self, dimensions: int) -> "Int8Prefix":
        return Int8Prefix(self.codes, self.ranges, dimensions)

    def lengths(self, dimensions: int) -> Lengths:
        """Measure them.

        A product is the sum of x s c and x m, for codes c, their steps s and middles m. As |s c| <=
        |y| + |m|, its error over the row's length |y| is at most 1 + 2 |m| / |y| times that of unit
        rows. Codes that are read, and m, are rounded from numbers as large as the ranges r = 255 s:
        by 2 |r| / |y| roundings, of which the bound counts one for each of d dimensions.
        """
        steps = self.ranges.steps[:dimensions]
        middle = self.ranges.middle[:dimensions]
        squares = np.zeros(len(self.codes), dtype=np.float32)
        for start in range(0, len(squares), _ROWS_AT_ONCE):
            here = slice(start, start + _ROWS_AT_ONCE)
            values = self.codes[here, :dimensions] * steps + middle
            squares[here] = np.einsum("nd,nd->n", values, values)
        inverse = _inverse(squares)
        longest = np.linalg.norm(middle) + _STEPS * np.linalg.norm(steps) / dimensions
        return Lengths(inverse, 1 + 2 * float(longest) * float(inverse.max(initial=0)))


class Int8Prefix:
    """A `Prefix` of int8 codes [N, D]."""

    def __init__(self, codes: Codes, ranges: Ranges, dimensions: int) -> None:
        self.codes = codes
        self.ranges = ranges
        self.dimensions = dimensions

    def multiply(self, queries: Vectors, start: int, stop: int, out: Floats) -> None:
        scaled = queries * self.ranges.steps[: self.dimensions]
        beside = queries @ self.ranges.middle[: self.dimensions]

        def read(here: slice, into: Vectors) -> None:
            into[:] = self.codes[here, : self.dimensions]

        _multiply_by_parts(scaled, read, start, stop, out)
        out += beside[:, None]

    def take(self, rows: Numbers) -> Vectors:
        return from_int8(self.codes[rows], self.ranges)


class BitRows:
    """Bits of N rows in words uint64 [words, N]: a word of all rows lies together, as counting
    goes through it. They stand for one of two levels in each dimension.
    """

    def __init__(self, words: Words, levels: Ranges) -> None:
        self.words = words
        self.levels = levels

    @classmethod
    def of(cls, rows: Rows, parts: Parts, levels: Ranges) -> "BitRows":
        """Place parts uint8 [n, bytes] where `rows` says."""
        count = -(-levels.width // (8 * _BYTES))
        words = np.empty((count, len(rows.ids)), dtype=np.uint64)
        start = 0
        for part in parts:
            words[:, rows.place[start : start + len(part)]] = to_words(part, count).T
            start += len(part)
        assert start == words.shape[1], "as many rows of bits as ids"
        return cls(words, levels)

    def prefix(self, dimensions: int) -> "BitPrefix":
        return BitPrefix(self, dimensions)

    def lengths(self, dimensions: int) -> Lengths:
        """Measure them.

        A product is the sum of x r where bits are set and of x low, for ranges r = high - low. Its
        error, over the row's length |y|, is at most (|r| + |low|) / |y| times that of unit rows,
        and r is rounded once more.
        """
        low = self.levels.low[:dimensions]
        high = self.levels.high[:dimensions]
        squares = np.zeros(self.words.shape[1], dtype=np.float32)
        for start in range(0, len(squares), _ROWS_AT_ONCE):
            here = slice(start, start + _ROWS_AT_ONCE)
            values = np.where(self.unpack(here, dimensions), high, low)
            squares[here] = np.einsum("nd,nd->n", values, values)
        inverse = _inverse(squares)
        longest = 2 * np.linalg.norm(high - low) + np.linalg.norm(low)
        return Lengths(inverse, 1 + float(longest) * float(inverse.max(initial=0)))

    def unpack(self, rows: slice, dimensions: int) -> npt.NDArray[np.uint8]:
        """Return 0 or 1 for each bit of these rows [n, dimensions]."""
        return np.unpackbits(self.bytes_of(rows), axis=1, count=dimensions)

    def bytes_of(self, rows: slice | Numbers) -> npt.NDArray[np.uint8]:
        """Return the bits of these rows as they came, padded to whole words."""
        return np.ascontiguousarray(self.words[:, rows].T).view(np.uint8)


class BitPrefix:
    """A `Prefix` of bits."""

    def __init__(self, bits: BitRows, dimensions: int) -> None:
        self.bits = bits
        self.dimensions = dimensions

    def multiply(self, queries: Vectors, start: int, stop: int, out: Floats) -> None:
        def read(here: slice, into: Vectors) -> None:
            into[:] = self.bits.unpack(here, self.dimensions)

        low = self.bits.levels.low[: self.dimensions]
        ranges = self.bits.levels.high[: self.dimensions] - low
        beside = queries @ low
        _multiply_by_parts(queries * ranges, read, start, stop, out)
        out += beside[:, None]

    def take(self, rows: Numbers) -> Vectors:
        return from_bits(self.bits.bytes_of(rows), self.bits.levels)


def to_words(packed: npt.NDArray[np.uint8], count: int) -> Words:
    """Return bits uint8 [n, bytes] in `count` words each, uint64 [n, count], padded with zeros."""
    padded = np.zeros((len(packed), count * _BYTES), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


def _multiply_by_parts(
    queries: Vectors, read: Callable[[slice, Vectors], None], start: int, stop: int, out: Floats
) -> None:
    """Multiply with what `read` writes of a few rows at a time, always to the same memory: fresh
    megabytes for each part cost more than the products.
    """
    rows = np.empty((min(_ROWS_AT_ONCE, stop - start), queries.shape[1]), dtype=np.float32)
    for first in range(start, stop, _ROWS_AT_ONCE):
        last = min(stop, first + _ROWS_AT_ONCE)
        part = rows[: last - first]
        read(slice(first, last), part)
        np.matmul(queries, part.T, out=out[:, first - start : last - start])


def _inverse(squares: Floats) -> Floats:
    return np.asarray(1 / np.maximum(np.sqrt(squares), np.finfo(np.float32).tiny), np.float32)


def _place(rows: Rows, parts: Parts, cuts: Sequence[int]) -> list[Vectors]:
    """Return the vectors in the order of the sorted rows, in blocks of columns [N, n].

    Raises DataError for NaN or infinity.
    """
    blocks = [
        np.empty((len(rows.ids), last - first), dtype=np.float32) for first, last in pairwise(cuts)
    ]
    start = 0
    for vectors in parts:
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        if broken:
            raise DataError(
                "{broken} of {count} vectors hold NaN or infinity; encode their documents again.",
                broken=broken,
                count=len(vectors),
            )
        places = rows.place[start : start + len(vectors)]
        for block, first in zip(blocks, cuts, strict=False):
            block[places] = vectors[:, first : first + block.shape[1]]
        start += len(vectors)
    assert start == len(rows.ids), "as many vectors as ids"
    return blocks

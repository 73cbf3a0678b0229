"""Multiply queries and rows in float32, block by block, and give what reaches a floor."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from medembed.search.float64_scores import Numbers, Scores, Vectors, pair_scores

Floats = npt.NDArray[np.float32]
# 1024 queries x 1024 rows: 4 MB of scores, which the comparison still finds in the cache.
BLOCK = 1024
_DEVICE_BLOCK = 16 * BLOCK  # a step costs a GPU a wait, whatever its size


class Hits(NamedTuple):
    """Products above a floor, [P] each, by line, then by row."""

    lines: Numbers
    rows: Numbers
    values: Floats


class Products(Protocol):
    """The products of Q queries with blocks of consecutive rows; the last block may be short."""

    block: int

    def first(self) -> Floats:
        """Return those with the first rows, [Q, at most 1024]."""

    def above(self, start: int, floor: Floats) -> Hits:
        """Return those with the block of rows from `start` on that reach the line's floor [Q]."""


class Scoring(Protocol):
    """Unit rows [n, d] whose pairs with queries of unit length [Q, d] can be scored."""

    def scores(self, queries: Vectors, lines: Numbers, rows: Numbers) -> Scores:
        """Return the exact scores [P] of pairs of a query's line and a row."""


class Matrix(Scoring, Protocol):
    """Unit rows [n, d] that can be multiplied with queries of unit length [Q, d].

    Products are off by no more than `error_scale` times `error_bound`.
    """

    error_scale: float

    def __len__(self) -> int: ...

    def products(self, queries: Vectors) -> Products: ...


Library = Callable[[Vectors], Matrix]  # takes unit rows float32 [n, d]


class NumpyMatrix:
    """A `Matrix` that NumPy multiplies with."""

    error_scale = 1.0

    def __init__(self, vectors: Vectors, block: int = BLOCK) -> None:
        self.vectors = vectors
        self.block = block

    def __len__(self) -> int:
        return len(self.vectors)

    def products(self, queries: Vectors) -> Products:
        return NumpyProducts(self.vectors, self.block, queries)

    def scores(self, queries: Vectors, lines: Numbers, rows: Numbers) -> Scores:
        return pair_scores(queries, lines, self.vectors, rows)


class TorchMatrix(NumpyMatrix):
    """A `Matrix` that torch multiplies with, on a device to which the rows go once."""

    def __init__(self, vectors: Vectors, block: int | None = None, device: str = "cpu") -> None:
        import torch

        super().__init__(vectors, block or (BLOCK if device == "cpu" else _DEVICE_BLOCK))
        self.on_device = torch.from_numpy(vectors).to(device)

    def products(self, queries: Vectors) -> Products:
        return TorchProducts(self.on_device, self.block, queries)


class BlockProducts:
    """`Products` of so many rows and queries [Q, d], written block by block into one array."""

    def __init__(self, rows: int, block: int, queries: Vectors) -> None:
        self.queries = queries
        self.rows = rows
        self.block = block
        self.scores = np.empty((len(queries), block), dtype=np.float32)
        self.is_hit = np.empty((len(queries), block), dtype=np.bool_)
        self.bounds = (0, 0)  # of the rows that `made` is about
        self.made: Floats = self.scores

    def first(self) -> Floats:
        return self._multiply(0, min(self.block, BLOCK))

    def above(self, start: int, floor: Floats) -> Hits:
        scores = self._multiply(start, start + self.block)
        width = scores.shape[1]
        is_hit = self.is_hit if width == self.block else np.empty(scores.shape, dtype=np.bool_)
        with _line_by_line(width):
            np.greater_equal(scores, floor[:, None], out=is_hit)
        hits = np.flatnonzero(is_hit)
        lines = hits // width
        return Hits(lines, hits - lines * width + start, scores.ravel()[hits])

    def _multiply(self, start: int, stop: int) -> Floats:
        if self.bounds != (start, stop):
            width = min(stop, self.rows) - start
            is_whole = width == self.block
            self.made = (
                self.scores if is_whole else np.empty((len(self.queries), width), np.float32)
            )
            self._write(self.made, start, start + width)
            self.bounds = (start, stop)
        return self.made

    def _write(self, out: Floats, start: int, stop: int) -> None:
        """Write the products with the rows from `start` to `stop` into `out`."""
        raise NotImplementedError


class NumpyProducts(BlockProducts):
    """`Products` of vectors [n, d] and queries [Q, d] by NumPy."""

    def __init__(self, vectors: Vectors, block: int, queries: Vectors) -> None:
        super().__init__(len(vectors), block, queries)
        self.vectors = vectors

    def _write(self, out: Floats, start: int, stop: int) -> None:
        np.matmul(self.queries, self.vectors[start:stop].T, out=out)


@contextmanager
def _line_by_line(width: int) -> Iterator[None]:
    """Let NumPy's loops inside take no more than a line at once.

    Else they take 8192 numbers, and first write each line's floor so many times as the line is
    long: a comparison takes twice as long.
    """
    before = np.setbufsize(max(16, width // 16 * 16))
    try:
        yield
    finally:
        np.setbufsize(before)


class TorchProducts:
    """`Products` of a tensor [n, d] and queries [Q, d], on the tensor's device."""

    def __init__(self, vectors: Any, block: int, queries: Vectors) -> None:
        import torch

        self.vectors = vectors
        self.block = block
        self.queries = torch.tensor(queries, device=vectors.device)
        self.bounds = (0, 0)  # of the rows that `made` is about
        self.made: Any = None

    def first(self) -> Floats:
        return self._multiply(0, min(self.block, BLOCK)).cpu().numpy()

    def above(self, start: int, floor: Floats) -> Hits:
        import torch

        scores = self._multiply(start, start + self.block)
        limits = torch.from_numpy(floor).to(scores.device)
        lines, columns = torch.nonzero(scores >= limits[:, None], as_tuple=True)
        values = scores[lines, columns]
        return Hits(lines.cpu().numpy(), columns.cpu().numpy() + start, values.cpu().numpy())

    def _multiply(self, start: int, stop: int) -> Any:
        if self.bounds != (start, stop):
            with _full_precision():
                self.made = self.queries @ self.vectors[start:stop].T
            self.bounds = (start, stop)
        return self.made


@contextmanager
def _full_precision() -> Iterator[None]:
    """Allow no TF32 and no bfloat16 inside: `error_bound` does not hold for them."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

"""Float32 products of queries and rows, block by block, of which only those above a floor are given: NumPy or torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medembed.search.float64_scores import Numbers, Vectors

Floats = npt.NDArray[np.float32]
Hits = tuple[Numbers, Numbers, Floats]
# 1024 queries x 1024 rows: 4 MB of scores, which the comparison still finds in the cache.
_BLOCK = 1024
_DEVICE_BLOCK = 16 * _BLOCK  # a step costs a GPU a wait, whatever its size


class Products(Protocol):
    """The products of Q queries with blocks of consecutive rows; the last block may be short."""

    block: int

    def first(self) -> Floats:
        """Those with the first rows, [Q, at most 1024]."""

    def above(self, start: int, floor: Floats) -> Hits:
        """(lines, rows, values) of those with the block of rows from `start` on that reach the line's floor [Q].

        They come by line, then by row.
        """


Multiply = Callable[[Vectors], Products]  # takes queries float32 [Q, d]
Library = Callable[[Vectors], Multiply]  # takes rows float32 [n, d]


def with_numpy(vectors: Vectors, block: int = _BLOCK) -> Multiply:
    """Multiplies with these rows by NumPy."""
    return partial(NumpyProducts, vectors, block)


def with_torch(vectors: Vectors, block: int | None = None, device: str = "cpu") -> Multiply:
    """Multiplies with these rows by torch on a device, to which they go once."""
    import torch

    return partial(
        TorchProducts,
        torch.from_numpy(vectors).to(device),
        block or (_BLOCK if device == "cpu" else _DEVICE_BLOCK),
    )


class NumpyProducts:
    """`Products` of vectors [n, d] and queries [Q, d] by NumPy."""

    def __init__(self, vectors: Vectors, block: int, queries: Vectors) -> None:
        self.queries, self.vectors, self.block = queries, vectors, block
        self.scores = np.empty((len(queries), block), dtype=np.float32)
        self.is_hit = np.empty((len(queries), block), dtype=np.bool_)
        self.held = (0, 0), self.scores

    def first(self) -> Floats:
        return self._multiply(0, min(self.block, _BLOCK))

    def above(self, start: int, floor: Floats) -> Hits:
        scores = self._multiply(start, start + self.block)
        width = scores.shape[1]
        is_hit = self.is_hit if width == self.block else np.empty(scores.shape, dtype=np.bool_)
        with _line_by_line(width):
            np.greater_equal(scores, floor[:, None], out=is_hit)
        hits = np.flatnonzero(is_hit)
        lines = hits // width
        return lines, hits - lines * width + start, scores.ravel()[hits]

    def _multiply(self, start: int, stop: int) -> Floats:
        if self.held[0] != (start, stop):
            part = self.vectors[start:stop]
            out = self.scores if len(part) == self.block else np.empty((len(self.queries), len(part)), dtype=np.float32)
            self.held = (start, stop), np.matmul(self.queries, part.T, out=out)
        return self.held[1]


@contextmanager
def _line_by_line(width: int) -> Iterator[None]:
    """NumPy's loops inside take no more than a line at once.

    Else they take 8192 numbers, and first write each line's floor so many times as the line is long: a comparison takes
    twice as long.
    """
    before = np.setbufsize(max(16, width // 16 * 16))
    try:
        yield
    finally:
        np.setbufsize(before)


class TorchProducts:
    """`Products` of a tensor [n, d] and queries [Q, d]; scores stay on its device, survivors leave it."""

    def __init__(self, vectors: Any, block: int, queries: Vectors) -> None:
        import torch

        self.vectors, self.block = vectors, block
        self.queries = torch.tensor(queries, device=vectors.device)
        self.held: tuple[tuple[int, int], Any] = (0, 0), None

    def first(self) -> Floats:
        return self._multiply(0, min(self.block, _BLOCK)).cpu().numpy()

    def above(self, start: int, floor: Floats) -> Hits:
        import torch

        scores = self._multiply(start, start + self.block)
        limits = torch.from_numpy(floor).to(scores.device)
        lines, columns = torch.nonzero(scores >= limits[:, None], as_tuple=True)
        values = scores[lines, columns]
        return lines.cpu().numpy(), columns.cpu().numpy() + start, values.cpu().numpy()

    def _multiply(self, start: int, stop: int) -> Any:
        if self.held[0] != (start, stop):
            with _full_precision():
                self.held = (start, stop), self.queries @ self.vectors[start:stop].T
        return self.held[1]


@contextmanager
def _full_precision() -> Iterator[None]:
    """No TF32 and no bfloat16 inside: `error_bound` does not hold for them."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

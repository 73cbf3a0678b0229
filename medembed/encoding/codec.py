"""How a table keeps vectors: as float32, float16, int8 or bits; whole, or their beginnings."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed.bits import count_bytes, from_bits, to_bits
from medembed.codes import Ranges, from_int8, to_int8
from medembed.matryoshka import truncate

Storage = Literal["float32", "float16", "int8", "binary"]
Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[Any]  # a column's own: those of TYPES, bits in bytes

TYPES: dict[Storage, pa.DataType] = {
    "float32": pa.float32(),
    "float16": pa.float16(),
    "int8": pa.int8(),
    "binary": pa.uint8(),
}


@dataclass(frozen=True, eq=False)
class Codec:
    """Between an encoder's vectors and a table's column.

    For int8 by full vectors' `ranges`; for bits by those that the vectors have once they are cut to
    `width`, as queries of such a table are.
    """

    width: int
    storage: Storage = "float32"
    ranges: Ranges | None = None

    @property
    def size(self) -> int:
        """The numbers in a row of the column: of bits the bytes that hold them."""
        return count_bytes(self.width) if self.storage == "binary" else self.width

    def write(self, vectors: Vectors) -> pa.FixedSizeListArray:
        """Return the column [n, size] of an encoder's full vectors, float32 [n, D] of unit rows.

        Codes are those of full vectors, cut: see `medembed.codes`. Raises ModelError for vectors
        narrower than `width`.
        """
        kind = TYPES[self.storage].to_pandas_dtype()
        numbers = np.ascontiguousarray(self._to_numbers(vectors), dtype=kind)
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), self.size)

    def count_beyond(self, vectors: Vectors) -> int:
        """Count the full vectors, float32 [n, D], that have values beyond the int8 ranges."""
        if self.storage != "int8":
            return 0
        assert self.ranges is not None
        is_beyond = (vectors < self.ranges.low) | (vectors > self.ranges.high)
        return int(is_beyond[:, : self.width].any(axis=1).sum())

    def read(self, column: pa.ChunkedArray | pa.FixedSizeListArray) -> Vectors:
        """Return float32 [n, width]: float32 as it was written, else unit rows near it."""
        numbers = self.read_numbers(column)
        if self.storage == "int8":
            assert self.ranges is not None
            return from_int8(numbers, self.ranges)
        if self.storage == "binary":
            assert self.ranges is not None
            return from_bits(numbers, self.ranges)
        if self.storage == "float16":  # rounded numbers make no unit rows
            return truncate(numbers.astype(np.float32), self.width)
        return np.asarray(numbers, dtype=np.float32)

    def read_numbers(self, column: pa.ChunkedArray | pa.FixedSizeListArray) -> Numbers:
        """Return the column's own numbers [n, size]."""
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        return whole.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), self.size)

    def _to_numbers(self, vectors: Vectors) -> Numbers:
        if self.storage == "int8":
            assert self.ranges is not None
            return to_int8(vectors, self.ranges)[:, : self.width]
        if self.storage == "binary":
            assert self.ranges is not None
            return to_bits(truncate(vectors, self.width), self.ranges)
        if vectors.shape[1] == self.width:  # bit for bit as the encoder gave them
            return vectors
        return truncate(vectors, self.width)

"""How a table keeps vectors: float32, float16, or int8 by ranges; whole, or their beginnings."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medembed.matryoshka import truncate
from medembed.quantize import Ranges, from_int8, to_int8

Storage = Literal["float32", "float16", "int8"]
Vectors = npt.NDArray[np.float32]

TYPES: dict[Storage, pa.DataType] = {
    "float32": pa.float32(),
    "float16": pa.float16(),
    "int8": pa.int8(),
}


@dataclass(frozen=True, eq=False)
class Codec:
    """Between an encoder's vectors and a table's column; for int8 by full vectors' `ranges`."""

    width: int
    storage: Storage = "float32"
    ranges: Ranges | None = None

    def write(self, vectors: Vectors) -> pa.FixedSizeListArray:
        """Return the column [n, width] of an encoder's full vectors, float32 [n, D] of unit rows.

        Codes are those of full vectors, cut: see `quantize`. Raises ModelError for vectors narrower
        than `width`.
        """
        values: npt.NDArray[Any]
        if self.storage == "int8":
            assert self.ranges is not None
            values = to_int8(vectors, self.ranges)[:, : self.width]
        elif vectors.shape[1] == self.width:  # bit for bit as the encoder gave them
            values = vectors
        else:
            values = truncate(vectors, self.width)
        flat = np.ascontiguousarray(values, dtype=np.dtype(self.storage)).ravel()
        return pa.FixedSizeListArray.from_arrays(pa.array(flat, TYPES[self.storage]), self.width)

    def count_beyond(self, vectors: Vectors) -> int:
        """Count the full vectors, float32 [n, D], that have values beyond the int8 ranges."""
        if self.storage != "int8":
            return 0
        assert self.ranges is not None
        is_beyond = (vectors < self.ranges.low) | (vectors > self.ranges.high)
        return int(is_beyond[:, : self.width].any(axis=1).sum())

    def read(self, column: pa.ChunkedArray | pa.FixedSizeListArray) -> Vectors:
        """Return float32 [n, width]: float32 as it was written, else unit rows near it."""
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        flat = whole.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), self.width)
        if self.storage == "int8":
            assert self.ranges is not None
            return from_int8(flat, self.ranges)
        if self.storage == "float16":  # rounded numbers make no unit rows
            return truncate(flat.astype(np.float32), self.width)
        return np.asarray(flat, dtype=np.float32)

"""Check what a table keeps of a vector, and what is read back."""

import numpy as np
import pyarrow as pa
import pytest

from medembed.bits import measure_bits, to_bits
from medembed.codes import Ranges, calibrate, to_int8
from medembed.encoding.codec import Codec, Storage
from medembed.errors import ModelError
from medembed.matryoshka import truncate

VECTORS = truncate(np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32), 24)
RANGES = calibrate(VECTORS)


@pytest.mark.parametrize("width", [24, 12, 8])
@pytest.mark.parametrize(
    ("storage", "lowest_cosine"),
    [("float32", 1 - 1e-6), ("float16", 1 - 1e-6), ("int8", 0.9995), ("binary", 0.5)],
)
def test_what_is_read_are_unit_rows_near_the_truncated_vectors(
    storage: Storage, lowest_cosine: float, width: int
):
    levels = measure_bits([truncate(VECTORS, width)])
    ranges: dict[Storage, Ranges] = {"int8": RANGES, "binary": levels}
    codec = Codec(width, storage, ranges.get(storage))
    column = codec.write(VECTORS)
    if storage == "binary":
        assert column.type == pa.list_(pa.uint8(), {24: 3, 12: 2, 8: 1}[width])
    else:
        assert column.type == pa.list_(getattr(pa, storage)(), width)
    read = codec.read(pa.chunked_array([column[:20], column[20:]]))
    assert read.dtype == np.float32
    assert np.abs(np.linalg.norm(read, axis=1) - 1).max() < 1e-6
    assert (read * truncate(VECTORS, width)).sum(axis=1).min() > lowest_cosine


def test_float32_is_kept_bit_for_bit():
    codec = Codec(24)
    assert np.array_equal(codec.read(codec.write(VECTORS)), VECTORS)


def test_int8_keeps_the_codes_of_full_vectors_so_that_their_prefix_is_the_prefixs():
    column = Codec(8, "int8", RANGES).write(VECTORS)
    assert np.array_equal(np.array(column.to_pylist()), to_int8(VECTORS, RANGES)[:, :8])


def test_bits_are_those_of_the_vectors_once_they_are_cut_as_queries_are():
    cut = truncate(VECTORS, 16)
    levels = measure_bits([cut])
    column = Codec(16, "binary", levels).write(VECTORS)
    assert np.array_equal(np.array(column.to_pylist()), to_bits(cut, levels))


def test_vectors_narrower_than_the_table_are_refused():
    with pytest.raises(ModelError, match=r"dimensions: found \[32\], but the model has 24"):
        Codec(32).write(VECTORS)


def test_ranges_are_widened_by_a_share_at_both_ends():
    wide = RANGES.widen(0.05)
    assert np.allclose(wide.high - wide.low, (RANGES.high - RANGES.low) * 1.1)
    assert np.allclose(wide.high + wide.low, RANGES.high + RANGES.low, atol=1e-6)


def test_vectors_with_values_beyond_the_ranges_are_counted():
    beyond = VECTORS.copy()
    beyond[3, 5] = RANGES.high[5] + 0.1
    beyond[7, 20] = RANGES.low[20] - 0.1
    assert Codec(24, "int8", RANGES).count_beyond(VECTORS) == 0
    assert Codec(24, "int8", RANGES).count_beyond(beyond) == 2
    assert Codec(8, "int8", RANGES).count_beyond(beyond) == 1, "of the dimensions that are kept"
    assert Codec(24).count_beyond(beyond) == 0

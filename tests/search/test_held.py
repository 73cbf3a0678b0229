"""Products of codes are as near to the scores that rank as they claim."""

import numpy as np
import pytest

from medembed.bits import measure_bits, to_bits
from medembed.codes import calibrate, to_int8
from medembed.matryoshka import truncate
from medembed.search.float64_scores import error_bound
from medembed.search.held import BitRows, HeldRows, Int8Rows
from medembed.search.in_memory import Prefixes
from medembed.search.ranking import Rows
from tests.search.by_hand import Vectors, draw

WIDTH = 96


def hold(vectors: Vectors, codes: str) -> HeldRows:
    rows = Rows.of(np.array([f"d{n:04}" for n in range(len(vectors))]), by_document=False)
    if codes == "binary":
        levels = measure_bits([vectors])
        return BitRows.of(rows, [to_bits(vectors, levels)], levels)
    ranges = calibrate(vectors)
    return Int8Rows.of(rows, [to_int8(vectors, ranges)], ranges, WIDTH)


@pytest.mark.parametrize("codes", ["int8", "binary"])
@pytest.mark.parametrize("dimensions", [8, 72, 96])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_products_are_off_by_no_more_than_their_multiple_of_the_error_bound(
    codes: str, dimensions: int, offset: float
):
    drawn = draw(3000, WIDTH)
    drawn[:, ::2] += np.float32(offset)  # as rows that all look alike to a model have it
    held = hold(truncate(drawn, WIDTH), codes)
    queries = truncate(draw(7, WIDTH, 1), dimensions)
    matrix = Prefixes(held.prefix(dimensions), held.lengths(dimensions), None)
    lines = np.repeat(np.arange(7), 3000)
    rows = np.tile(np.arange(3000), 7)
    products = matrix.products(queries)
    blocks = [
        products.above(start, np.full(7, -np.inf, np.float32))
        for start in range(0, 3000, products.block)
    ]
    found = np.full((7, 3000), np.nan)
    for block in blocks:
        found[block.lines, block.rows] = block.values
    errors = np.abs(found[lines, rows] - matrix.scores(queries, lines, rows))
    assert errors.max() < matrix.error_scale * error_bound(dimensions)
    assert matrix.error_scale < 20

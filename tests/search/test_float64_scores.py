import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.matryoshka import truncate
from medembed.search.float64_scores import error_bound, pair_scores, unit_rows
from tests.search.by_hand import add_up


def sums(products: np.ndarray) -> list[float]:
    """Return float32 sums in several orders: front to back, back to front, by size, in halves."""
    orders = (
        products,
        products[::-1],
        np.sort(products),
        np.sort(products)[::-1],
        np.sort(np.abs(products)),
    )
    front = [float(np.cumsum(order, dtype=np.float32)[-1]) for order in orders[:4]]
    return [*front, float(products.sum(dtype=np.float32))]


@given(
    st.sampled_from([1, 2, 3, 7, 31, 64, 384, 1024]),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 1.0, 3.0, 12.0]),
)
def test_no_order_of_summation_leaves_the_bound(width: int, seed: int, spread: float):
    """The numbers are of one size or many, of one sign or both: sums cancel, or errors add up."""
    drawn = np.random.default_rng(seed)
    rows = drawn.normal(size=(4, width)) * 10 ** (-spread * drawn.random((4, width)))
    rows[2:] = np.abs(rows[2:])
    rows, useless = unit_rows(rows.astype(np.float32), width)
    assert not len(useless)
    for left, right in itertools.product(range(4), repeat=2):
        exact = pair_scores(rows, np.array([left]), rows, np.array([right]))[0]
        products = rows[left] * rows[right]
        values = [
            *sums(products),
            float(rows[left] @ rows[right]),
            float((rows[left : left + 1] @ rows.T)[0, right]),
        ]
        assert max(abs(value - exact) for value in values) <= error_bound(width)


def test_the_bound_holds_where_every_addition_rounds_the_same_way():
    width = 65_536
    step = np.float32(1 / 256)
    rows, _ = unit_rows(np.full((1, width), step, dtype=np.float32), width)
    rows[0, 1:] *= np.float32(1 + 2e-4)  # partial sums and terms do not line up
    nowhere = np.zeros(1, dtype=np.int64)
    exact = pair_scores(rows, nowhere, rows, nowhere)[0]
    worst = abs(float(np.cumsum(rows[0] * rows[0], dtype=np.float32)[-1]) - exact)
    assert 0.001 * error_bound(width) < worst <= error_bound(width)


def test_the_bound_is_gamma_and_one_per_cent():
    assert error_bound(384) == pytest.approx(1.01 * 384 * 2**-24 / (1 - 384 * 2**-24), rel=1e-15)
    assert 2.31e-5 < error_bound(384) < 2.32e-5


@given(st.integers(1, 200), st.integers(0, 10_000))
def test_a_pairs_score_is_the_promised_sum_of_exact_products_whatever_stands_beside_it(
    width: int, seed: int
):
    drawn = np.random.default_rng(seed)
    queries, documents = (drawn.normal(size=(size, width)).astype(np.float32) for size in (5, 40))
    lines, rows = drawn.integers(0, 5, size=300), drawn.integers(0, 40, size=300)
    scores = pair_scores(queries, lines, documents, rows)
    for pair in (0, 7, 255, 256, 299):
        left, right = queries[lines[pair]].tolist(), documents[rows[pair]].tolist()
        products = [x * y for x, y in zip(left, right, strict=True)]
        assert scores[pair] == add_up(products)
        assert scores[pair] == pytest.approx(math.fsum(products), abs=1e-13)
        alone = pair_scores(
            queries, lines[pair : pair + 1], documents[rows[pair] :], np.zeros(1, np.int64)
        )
        assert alone[0] == scores[pair]
    # Other strides, other places in memory, other neighbours.
    odd = np.concatenate([np.zeros((40, 1), np.float32), documents], axis=1)[:, 1:]
    assert (
        pair_scores(np.asfortranarray(queries), lines[3:], odd, rows[3:]).tobytes()
        == scores[3:].tobytes()
    )


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 10_000))
def test_a_rows_prefix_has_the_same_bits_alone_and_among_others(
    rows: int, dimensions: int, seed: int
):
    vectors = np.random.default_rng(seed).normal(size=(rows, 40)).astype(np.float32)
    together = unit_rows(vectors, dimensions)[0]
    for row in (0, rows // 2, rows - 1):
        alone = unit_rows(np.asfortranarray(vectors[row : row + 1]), dimensions)[0]
        assert alone.tobytes() == together[row : row + 1].tobytes()
    assert unit_rows(np.asfortranarray(vectors), dimensions)[0].tobytes() == together.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 1e-25])
@pytest.mark.parametrize("place", [0, 3])
def test_rows_without_a_usable_length_are_found_and_zeros_are_none_of_them(
    value: float, place: int
):
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    vectors[1] = 0
    vectors[3] = 0
    vectors[3, place] = value
    rows, useless = unit_rows(vectors, 4)
    assert useless.tolist() == [3]
    good = [0, 1, 2, 4]
    assert rows[good].tobytes() == truncate(vectors[good], 4).tobytes()
    assert rows[1].tolist() == [0, 0, 0, 0]


def test_a_number_beyond_the_prefix_that_is_not_finite_is_found_too():
    vectors = np.ones((2, 4), dtype=np.float32)
    vectors[1, 3] = np.nan
    assert unit_rows(vectors, 2)[1].tolist() == [1]

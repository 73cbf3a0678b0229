import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medembed.errors import ModelError
from medembed.matryoshka import check_trained, truncate


def unit_rows(rows: int, width: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_truncating_3_4_0_to_two_dimensions_gives_its_prefix_at_unit_length():
    assert truncate(np.array([[3.0, 4.0, 12.0]], dtype=np.float32) / 13, 2)[0] == pytest.approx(
        [0.6, 0.8]
    )


@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 99))
def test_truncating_twice_equals_truncating_once_to_the_smaller(one: int, two: int, seed: int):
    rows = unit_rows(5, 16, seed)
    first, second = max(one, two), min(one, two)
    assert np.allclose(truncate(truncate(rows, first), second), truncate(rows, second), atol=1e-6)


def test_rows_stay_unit_and_a_row_of_zeros_stays_zero():
    rows = np.vstack([unit_rows(3, 8, 0), np.zeros((1, 8), np.float32)])
    assert np.linalg.norm(truncate(rows, 3), axis=1).tolist() == pytest.approx(
        [1, 1, 1, 0], abs=1e-6
    )


@pytest.mark.parametrize("dimensions", [0, 9])
def test_a_dimension_outside_the_width_is_refused_with_the_width(dimensions: int):
    with pytest.raises(ModelError, match="from 1 to 8"):
        truncate(unit_rows(1, 8, 0), dimensions)


def test_a_checkpoint_takes_its_trained_dimensions_and_its_width_a_stock_model_any():
    check_trained([16, 32], (16, 8), 32)
    check_trained([5, 31], (), 32)
    with pytest.raises(
        ModelError, match=r"found \[4, 12\], but this model was trained for \[32, 16, 8\]"
    ):
        check_trained([12, 16, 4], (16, 8), 32)

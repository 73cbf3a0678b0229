"""A layer of bytes is near the layer that it stands for, also where channels lie far apart."""

import numpy as np
import pytest

from medembed.quantization.scales import (
    STEPS,
    Floats,
    InputScale,
    Seen,
    code_linear,
    code_rows,
    scale_input,
)

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(24, 16)).astype(np.float32)
BIAS = RANDOM.normal(size=24).astype(np.float32)
# as behind a GELU or a layer norm: one channel a hundred times as wide, another far from zero
INPUTS = RANDOM.normal(size=(400, 16)).astype(np.float32)
INPUTS[:, 3] *= 100
INPUTS[:, 5] += 50
SEEN = Seen.of(INPUTS, 100)


def error_by(scale: InputScale) -> float:
    """Return how far a coded layer is from the exact one, as a share of what that gives."""
    coded = code_linear(WEIGHTS, BIAS, scale, SEEN.rows)
    exact = INPUTS @ WEIGHTS.T + BIAS
    computed = scale.codes(INPUTS) @ coded.weights.values.T + coded.bias
    return float(np.abs(computed - exact).mean() / exact.std())


def test_a_layer_of_bytes_is_within_a_hundredth_and_one_step_for_all_channels_is_not():
    widest = max(-float(SEEN.low.min()), float(SEEN.high.max()))
    factor = np.full(16, STEPS / 2 / widest, np.float32)
    plain = InputScale(factor, np.full(16, STEPS / 2, np.float32))
    assert error_by(scale_input(SEEN, [WEIGHTS])) < 0.01 < error_by(plain)


def test_on_average_a_layer_gives_the_rows_that_it_was_made_with_exactly_what_it_should():
    coarse = InputScale(np.full(16, 0.5, np.float32), np.full(16, 100, np.float32))
    coded = code_linear(WEIGHTS, BIAS, coarse, SEEN.rows)
    computed = coarse.codes(SEEN.rows) @ coded.weights.values.T + coded.bias
    exact = SEEN.rows @ WEIGHTS.T + BIAS
    np.testing.assert_allclose(computed.mean(axis=0), exact.mean(axis=0), rtol=1e-3, atol=1e-3)


def test_codes_hold_all_that_was_seen_and_layers_that_share_an_input_share_its_scale():
    scale = scale_input(SEEN, [WEIGHTS, 10 * WEIGHTS[:4]])
    ends = np.stack([SEEN.low, SEEN.high])
    assert np.all(np.abs(scale.codes(ends) - (ends * scale.factor + scale.offset)) <= 0.51)
    left, right = Seen.of(INPUTS[:100], 5), Seen.of(INPUTS[100:], 5)
    joined = left.joined(right)
    np.testing.assert_array_equal(joined.low, SEEN.low)
    np.testing.assert_array_equal(joined.high, SEEN.high)
    assert len(joined.rows) == 10


@pytest.mark.parametrize("rows", [WEIGHTS, np.zeros((2, 3), np.float32)], ids=["rows", "zeros"])
def test_a_row_keeps_each_number_to_half_its_step(rows: Floats):
    coded = code_rows(rows)
    assert np.all(np.abs(coded.values - rows) <= coded.steps * 0.501)

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
SEEN = Seen(INPUTS.min(axis=0), INPUTS.max(axis=0))


def error_by(scale: InputScale) -> float:
    """Return how far a coded layer is from the exact one, as a share of what that gives."""
    codes = np.clip(np.round(INPUTS * scale.factor + scale.offset), 0, STEPS)
    coded = code_linear(WEIGHTS, BIAS, scale)
    exact = INPUTS @ WEIGHTS.T + BIAS
    return float(
        np.abs(codes @ (coded.codes * coded.steps).T + coded.bias - exact).mean() / exact.std()
    )


def test_a_layer_of_bytes_is_within_a_hundredth_and_one_step_for_all_channels_is_not():
    widest = max(-float(SEEN.low.min()), float(SEEN.high.max()))
    factor = np.full(16, STEPS / 2 / widest, np.float32)
    plain = InputScale(factor, np.full(16, STEPS / 2, np.float32))
    assert error_by(scale_input(SEEN, [WEIGHTS])) < 0.01 < error_by(plain)


def test_in_the_middle_of_its_ranges_a_layer_is_exact_to_the_last_bits():
    scale = scale_input(SEEN, [WEIGHTS])
    middle = (SEEN.low + SEEN.high) / 2
    coded = code_linear(WEIGHTS, BIAS, scale)
    computed = (coded.codes * coded.steps).sum(axis=1) * STEPS / 2 + coded.bias
    np.testing.assert_allclose(computed, WEIGHTS @ middle + BIAS, rtol=1e-4, atol=1e-4)


def test_codes_hold_all_that_was_seen_and_layers_that_share_an_input_share_its_scale():
    scale = scale_input(SEEN, [WEIGHTS, 10 * WEIGHTS[:4]])
    assert np.all(SEEN.low * scale.factor + scale.offset >= -0.01)
    assert np.all(SEEN.high * scale.factor + scale.offset <= STEPS + 0.01)
    joined = Seen(SEEN.low, SEEN.low).joined(Seen(SEEN.high, SEEN.high))
    np.testing.assert_array_equal(joined, SEEN)


@pytest.mark.parametrize("rows", [WEIGHTS, np.zeros((2, 3), np.float32)], ids=["rows", "zeros"])
def test_a_row_keeps_each_number_to_half_its_step(rows: Floats):
    coded = code_rows(rows)
    assert np.all(np.abs(coded.codes * coded.steps - rows) <= coded.steps * 0.501)

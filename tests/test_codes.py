import json
import logging

import numpy as np
import pytest
from sentence_transformers.util.quantization import quantize_embeddings

from medembed.codes import (
    Ranges,
    calibrate,
    from_int8,
    from_uint8,
    to_binary,
    to_int8,
    to_ubinary,
    to_uint8,
)
from medembed.errors import ModelError
from medembed.matryoshka import truncate


def draw(rows: int, width: int = 24, seed: int = 0) -> np.ndarray:
    """Draw unit rows whose dimensions have unlike spreads and centres."""
    generator = np.random.default_rng(seed)
    values = generator.normal(
        generator.normal(size=width), generator.uniform(0.1, 2, size=width), (rows, width)
    )
    return truncate(values.astype(np.float32), width)


VECTORS = draw(200)
RANGES = calibrate(VECTORS)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_codes_are_those_of_sentence_transformers_bit_for_bit(seed: int):
    vectors = draw(300, seed=seed)
    bounds = np.stack([RANGES.low, RANGES.high])
    assert np.array_equal(
        to_int8(vectors, RANGES), quantize_embeddings(vectors, "int8", ranges=bounds)
    )
    assert np.array_equal(
        to_uint8(vectors, RANGES), quantize_embeddings(vectors, "uint8", ranges=bounds)
    )
    assert np.array_equal(to_binary(vectors), quantize_embeddings(vectors, "binary"))
    assert np.array_equal(to_ubinary(vectors), quantize_embeddings(vectors, "ubinary"))
    assert [to_int8(vectors, RANGES).dtype, to_binary(vectors).dtype] == [np.int8, np.int8]


def test_ranges_are_those_that_sentence_transformers_takes_from_calibration_vectors(
    caplog: pytest.LogCaptureFixture,
):
    with caplog.at_level(logging.ERROR):
        expected = quantize_embeddings(draw(5, seed=9), "int8", calibration_embeddings=VECTORS)
    assert np.array_equal(to_int8(draw(5, seed=9), RANGES), expected)


def test_codes_by_hand_with_both_ends_and_beyond():
    ranges = Ranges(np.array([0, -127.5], np.float32), np.array([255, 127.5], np.float32), 2)
    vectors = np.array(
        [[0, -127.5], [255, 127.5], [-3, -200], [300, 200], [7.9, 0]], dtype=np.float32
    )
    assert to_uint8(vectors, ranges).tolist() == [[0, 0], [255, 255], [0, 0], [255, 255], [7, 127]]
    assert to_int8(vectors, ranges).tolist() == [
        [-128, -128],
        [127, 127],
        [-128, -128],
        [127, 127],
        [-121, -1],
    ]


def test_a_text_has_the_same_code_alone_and_in_any_company():
    together = to_int8(VECTORS, RANGES)
    alone = np.concatenate([to_int8(row[None], RANGES) for row in VECTORS])
    assert np.array_equal(alone, together)
    assert (np.ptp(alone.astype(np.int16), axis=1) > 100).all()  # and it is not all zeros


def test_ranges_come_back_from_json_to_the_bit_under_the_same_name():
    back = Ranges.from_json(json.loads(json.dumps(RANGES.to_json())))
    assert (back.low.tobytes(), back.high.tobytes(), back.count) == (
        RANGES.low.tobytes(),
        RANGES.high.tobytes(),
        200,
    )
    assert back.fingerprint == RANGES.fingerprint != calibrate(draw(200, seed=1)).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"low": [0.0] * 24},
        {"high": [1.0] * 23},
        {"low": [float("nan")] * 24},
        {"count": None},
        {"fingerprint": "x"},
    ],
)
def test_damaged_ranges_are_refused(change: dict[str, object]):
    with pytest.raises(ModelError, match="calibrate again"):
        Ranges.from_json(RANGES.to_json() | change)


def test_decoded_values_are_off_by_half_a_step_at_most_before_rows_are_scaled():
    codes = to_int8(VECTORS, RANGES)
    steps = (RANGES.high - RANGES.low) / 255
    middle = (codes.astype(np.float32) + 128.5) * steps + RANGES.low
    assert (np.abs(middle - VECTORS) <= steps * 0.501).all()
    decoded = from_int8(codes, RANGES)
    assert np.allclose(decoded, truncate(middle, 24), atol=1e-6)
    assert np.allclose(np.linalg.norm(decoded, axis=1), 1, atol=1e-6)
    assert (decoded * VECTORS).sum(axis=1).min() > 0.9999
    assert np.array_equal(from_uint8(to_uint8(VECTORS, RANGES), RANGES), decoded)


@pytest.mark.parametrize("dimensions", [1, 7, 16, 24])
def test_truncating_codes_is_truncating_what_they_stand_for(dimensions: int):
    codes = to_int8(VECTORS, RANGES)
    cut = from_int8(codes[:, :dimensions], RANGES)
    assert np.allclose(cut, truncate(from_int8(codes, RANGES), dimensions), atol=1e-6)


def test_a_dimension_that_is_the_same_everywhere_comes_back_exactly():
    vectors = np.array([[0.6, 0.8], [0.6, -0.8], [0.6, 0.1]], dtype=np.float32)
    ranges = calibrate(vectors)
    assert to_int8(vectors, ranges)[:, 0].tolist() == [-128] * 3
    decoded = from_int8(to_int8(vectors, ranges), ranges)
    assert np.allclose(decoded[:, 0] / decoded[:, 1], vectors[:, 0] / vectors[:, 1], rtol=0.05)
    assert np.array_equal(
        to_int8(vectors, ranges), quantize_embeddings(vectors, "int8", ranges=_bounds(ranges))
    )


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_no_numbers_are_refused_and_counted(broken: float):
    vectors = VECTORS.copy()
    vectors[[3, 7], 5] = broken
    for act in (calibrate, to_binary, lambda v: to_int8(v, RANGES)):
        with pytest.raises(ModelError, match="2 of 200 vectors hold NaN or infinity"):
            act(vectors)


def test_too_few_vectors_and_another_width_are_refused():
    for few in (VECTORS[:0], VECTORS[:1]):
        with pytest.raises(ModelError, match=f"found {len(few)} vectors, expected at least 2"):
            calibrate(few)
    with pytest.raises(ModelError, match="found vectors of 8 dimensions, expected 24"):
        to_int8(truncate(VECTORS, 8), RANGES)
    with pytest.raises(ModelError, match="found 24 dimensions, but the ranges have 8"):
        from_int8(to_int8(VECTORS, RANGES), calibrate(VECTORS[:, :8]))


def test_no_vectors_give_no_codes():
    assert to_int8(VECTORS[:0], RANGES).shape == (0, 24)
    assert from_int8(to_int8(VECTORS[:0], RANGES), RANGES).shape == (0, 24)
    assert to_ubinary(VECTORS[:0]).shape == (0, 3)


def test_bits_are_signs_first_dimension_highest_and_a_last_byte_is_filled_with_zeros():
    row = np.array([[1, -1, 0, 2, -3, 1e-9, 1, 1, 5]], dtype=np.float32)
    assert to_ubinary(row).tolist() == [[0b10010111, 0b10000000]]
    assert to_binary(row).tolist() == [[0b10010111 - 128, 0]]


def _bounds(ranges: Ranges) -> np.ndarray:
    return np.stack([ranges.low, ranges.high])


def test_ranges_of_parts_are_those_of_all_and_code_0_stands_for_their_middle():
    joined = calibrate(VECTORS[:20]).join(calibrate(VECTORS[20:]))
    assert (joined.fingerprint, joined.count) == (RANGES.fingerprint, RANGES.count)
    (decoded,) = from_int8(np.zeros((1, 24), np.int8), RANGES)
    assert np.allclose(decoded, truncate(RANGES.middle[None], 24)[0], atol=1e-6)

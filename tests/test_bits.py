"""Bits by two levels: what they stand for, and that no order or company of vectors changes them."""

import numpy as np
import pytest

from medembed.bits import calibrate_bits, centre_of, from_bits, measure_bits, to_bits
from medembed.errors import ModelError
from medembed.matryoshka import truncate

VECTORS = truncate(np.random.default_rng(0).normal(0.5, 1, size=(400, 24)).astype(np.float32), 24)
LEVELS = measure_bits([VECTORS])


def test_levels_are_the_mean_less_and_plus_a_normals_mean_distance_from_it():
    reach = np.sqrt(2 / np.pi) * VECTORS.std(axis=0)
    assert np.allclose(LEVELS.low, VECTORS.mean(axis=0) - reach, atol=1e-6)
    assert np.allclose(LEVELS.high, VECTORS.mean(axis=0) + reach, atol=1e-6)
    assert LEVELS.count == 400


def test_levels_are_the_same_to_the_bit_in_any_order_and_parts():
    order = np.random.default_rng(1).permutation(400)
    parts = np.array_split(VECTORS[order], [1, 7, 7, 200])
    assert measure_bits(parts).fingerprint == LEVELS.fingerprint


def test_a_bit_says_whether_a_value_is_above_the_mean_and_the_first_bits_are_a_prefixs():
    bits = to_bits(VECTORS, LEVELS)
    assert np.array_equal(bits, np.packbits(centre_of(LEVELS) < VECTORS, axis=1))
    assert np.array_equal(to_bits(VECTORS[:, :8], LEVELS), bits[:, :1])
    alone = np.concatenate([to_bits(row[None], LEVELS) for row in VECTORS[:20]])
    assert np.array_equal(alone, bits[:20])
    levels = np.where(centre_of(LEVELS) < VECTORS, LEVELS.high, LEVELS.low)
    assert np.array_equal(from_bits(bits, LEVELS), truncate(levels, 24))


def test_vectors_that_all_look_alike_keep_more_by_levels_than_by_signs():
    drawn = np.random.default_rng(2).normal(size=(2000, 64)).astype(np.float32)
    alike = truncate(drawn + 3, 64)
    levels = measure_bits([alike])
    queries = truncate(drawn[:50] + 3 + 0.3 * drawn[50:100], 64)
    best = (queries @ alike.T).argmax(axis=1)
    by_levels = (queries @ from_bits(to_bits(alike, levels), levels).T).argmax(axis=1)
    by_signs = (queries @ np.where(alike > 0, 1, -1).T).argmax(axis=1)
    assert (by_levels == best).mean() > 0.9 > 0.5 > (by_signs == best).mean()


def test_what_makes_no_bits_is_said_in_one_line():
    broken = VECTORS.copy()
    broken[3, 2] = np.nan
    for act in (lambda: measure_bits([broken]), lambda: to_bits(broken, LEVELS)):
        with pytest.raises(ModelError, match="1 of 400 vectors hold NaN or infinity"):
            act()
    with pytest.raises(ModelError, match="found 0 vectors, expected at least 1"):
        measure_bits([])
    with pytest.raises(ModelError, match="found 1 vectors, expected at least 2"):
        calibrate_bits(VECTORS[:1])

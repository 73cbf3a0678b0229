import numpy as np
import pytest

from medembed.evaluation.compare import compare


def test_groups_of_one_give_the_textbook_interval_of_a_mean():
    generator = np.random.default_rng(0)
    before, gain = generator.uniform(size=400), generator.normal(0.05, 0.2, size=400)
    row = compare(before, before + gain, [str(n) for n in range(400)], samples=4000, seed=1)
    error = gain.std() / 20
    assert row.mean == pytest.approx(gain.mean())
    assert (row.low, row.high) == pytest.approx(
        (gain.mean() - 1.96 * error, gain.mean() + 1.96 * error), abs=0.1 * error
    )


def test_copies_of_a_query_in_one_group_do_not_narrow_the_interval():
    generator = np.random.default_rng(0)
    gain = generator.normal(0, 1, size=60)
    once = compare(np.zeros(60), gain, [str(n) for n in range(60)], samples=2000, seed=1)
    copies = compare(np.zeros(600), np.repeat(gain, 10), [str(n // 10) for n in range(600)], samples=2000, seed=1)
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=1e-9)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).uniform(size=(2, 50))
    groups = [str(n % 20) for n in range(50)]
    assert compare(*values, groups, samples=200, seed=3) == compare(*values, groups, samples=200, seed=3)

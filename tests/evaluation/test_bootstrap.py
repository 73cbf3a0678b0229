import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from scipy import stats

from medembed.evaluation.bootstrap import (
    Cell,
    Grouping,
    draw_differences,
    intervals,
    mean_cell,
    spearman_cell,
)
from medembed.evaluation.compare import compare
from medembed.evaluation.metrics import Values


def ndcg_like(difficulty: Values) -> Values:
    """Values with many ties and zeros: 1 / log2(1 + rank), none from rank 11 on."""
    rank = np.floor(np.exp(np.clip(difficulty, -5, 6)))
    return np.where(rank < 10, 1 / np.log2(rank + 2), 0.0)


def simulated(
    generator: Generator, groups: int, *, cells: int, gain: float
) -> tuple[list[tuple[Values, Values]], Values]:
    """(before, after) of each cell, and each unit's group: groups of unequal size, alike within;
    cells alike.
    """
    position = np.repeat(np.arange(groups), generator.geometric(0.4, size=groups))
    shared = generator.normal(size=groups)[position] + generator.normal(0, 0.8, size=len(position))
    effect = gain + generator.normal(0, 0.4, size=groups)[position]
    noise = generator.normal(0, 0.5, size=(cells, 2, len(position)))
    return [
        (
            ndcg_like(1.2 * shared + 0.5 + 0.1 * n + old),
            ndcg_like(1.2 * shared + 0.5 + 0.1 * n - effect + new),
        )
        for n, (old, new) in enumerate(noise)
    ], position


def true_gains(*, cells: int, gain: float) -> Values:
    pairs, _ = simulated(default_rng(99), 100_000, cells=cells, gain=gain)
    return np.array([(after - before).mean() for before, after in pairs])


def plain_cell(gain: Values) -> Cell:
    cell = mean_cell(np.zeros(len(gain)), gain, Grouping(np.arange(len(gain)), len(gain)))
    assert cell is not None
    return cell


@pytest.mark.parametrize("groups", [20, 70])
def test_95_percent_intervals_hold_the_truth_in_93_to_97_percent_of_1000_simulated_data_sets(
    groups: int,
):
    (truth,) = true_gains(cells=1, gain=0.6)
    generator, held = default_rng(0), 0
    for seed in range(1000):
        [(before, after)], position = simulated(generator, groups, cells=1, gain=0.6)
        row = compare(before, after, position.astype(str).tolist(), samples=600, seed=seed)
        held += row.low <= truth <= row.high
    assert 930 <= held <= 970


@pytest.mark.parametrize("gain", [0.0, 0.6])
def test_sure_intervals_of_ten_cells_hold_all_ten_truths_together(gain: float):
    truths = true_gains(cells=10, gain=gain) if gain else np.zeros(10)
    generator, held = default_rng(1), 0
    for seed in range(600):
        pairs, position = simulated(generator, 70, cells=10, gain=gain)
        grouping = Grouping(position, 70)
        cells = [cell for pair in pairs if (cell := mean_cell(*pair, grouping)) is not None]
        bounds = intervals(cells, draw_differences(cells, samples=400, seed=seed))
        held += all(
            row.sure_low <= truth <= row.sure_high
            for row, truth in zip(bounds, truths, strict=True)
        )
    assert 0.93 <= held / 600 <= 0.97


def test_no_difference_anywhere_is_claimed_in_at_most_5_percent():
    """Identical in truth, at 20 groups: a claim about any of ten cells would be false."""
    generator, false = default_rng(2), 0
    for seed in range(600):
        pairs, position = simulated(generator, 20, cells=10, gain=0.0)
        grouping = Grouping(position, 20)
        cells = [cell for pair in pairs if (cell := mean_cell(*pair, grouping)) is not None]
        bounds = intervals(cells, draw_differences(cells, samples=400, seed=seed))
        false += any(row.sure_low > 0 or row.sure_high < 0 for row in bounds)
    assert false / 600 <= 0.05


def test_sure_intervals_of_independent_cells_reach_as_far_as_sidak_says():
    generator = default_rng(0)
    cells = [plain_cell(generator.normal(0, 0.1, size=2000)) for _ in range(8)]
    drawn = draw_differences(cells, samples=4000, seed=1)
    reach = [
        (row.sure_high - cell.mean)
        for row, cell in zip(intervals(cells, drawn), cells, strict=True)
    ]
    expected = stats.norm.ppf((1 + 0.95 ** (1 / 8)) / 2)  # Sidak 1967
    assert reach / drawn.std(axis=0) == pytest.approx(expected, rel=0.03)


@given(seed=st.integers(0, 1000), groups=st.integers(1, 40), units=st.integers(1, 80))
def test_sure_intervals_contain_the_intervals_and_these_the_difference(
    seed: int, groups: int, units: int
):
    generator = default_rng(seed)
    grouping = Grouping(generator.integers(groups, size=units), groups)
    values = generator.integers(0, 2, size=(3, units)).astype(np.float64)
    maybe = [
        mean_cell(values[0], values[1], grouping),
        spearman_cell(*values, grouping),
    ]
    cells = [cell for cell in maybe if cell is not None]
    for cell, row in zip(
        cells, intervals(cells, draw_differences(cells, samples=100, seed=seed)), strict=True
    ):
        assert -cell.limit <= row.sure_low <= row.low <= row.high <= row.sure_high <= cell.limit
        if cell.groups >= 10:
            assert row.sure_low - 1e-9 <= cell.mean <= row.sure_high + 1e-9


def test_under_ten_groups_the_interval_is_students_and_nothing_is_sure():
    gain = np.array([0.1, 0.3, -0.1, 0.2, 0.25, 0.15])
    cell = plain_cell(gain)
    (row,) = intervals([cell], draw_differences([cell], samples=20_000, seed=0))
    assert row[:2] == pytest.approx(
        stats.t.interval(0.95, 5, gain.mean(), stats.sem(gain)), abs=0.005
    )
    assert row[2:] == (-1, 1)


@pytest.mark.parametrize("gain", [[0.5], [0.5, 0.5, 0.5], [0.0] * 9])
def test_few_groups_without_spread_say_nothing(gain: list[float]):
    cell = plain_cell(np.array(gain))
    assert intervals([cell], draw_differences([cell], samples=100, seed=0)) == [(-1, 1, -1, 1)]


def test_cells_of_few_groups_widen_no_other_cells_interval():
    grouping, gain = Grouping(np.arange(60), 60), default_rng(0).normal(0, 0.2, size=60)
    slices = [
        mean_cell(np.zeros(60), gain, grouping, (np.arange(60) % 12 == n).astype(np.float64))
        for n in range(12)
    ]
    cells = [plain_cell(gain)] + [cell for cell in slices if cell is not None]
    drawn = draw_differences(cells, samples=500, seed=3)
    assert [cell.groups for cell in cells] == [60] + [5] * 12
    assert intervals(cells, drawn)[0] == intervals(cells[:1], drawn[:, :1])[0]


def test_a_group_that_outweighs_all_others_leaves_an_interval_as_wide_as_few_groups_do():
    gain = default_rng(0).normal(0, 0.1, size=400)
    # 40 groups of ten; 361 units in one
    even, uneven = np.arange(400) // 10, np.maximum(np.arange(400) - 360, 0)
    cells = [mean_cell(np.zeros(400), gain, Grouping(position, 40)) for position in (even, uneven)]
    bounds = []
    for cell in cells:
        assert cell is not None
        bounds += intervals([cell], draw_differences([cell], samples=500, seed=0))
    assert [cell.effective_groups for cell in cells if cell] == pytest.approx(
        [40, 400**2 / (361**2 + 39)]
    )
    assert bounds[1].sure_high - bounds[1].sure_low > 10 * (
        bounds[0].sure_high - bounds[0].sure_low
    )


def test_a_mean_cell_leaves_out_nan_and_weighs_the_rest():
    before, after = np.array([0.0, np.nan, 0.5, 1.0]), np.array([1.0, 0.5, np.nan, 0.5])
    cell = mean_cell(
        before, after, Grouping(np.array([0, 0, 1, 2]), 4), np.array([1.0, 9.0, 9.0, 3.0])
    )
    assert cell is not None
    assert (cell.before, cell.after, cell.mean) == pytest.approx((3 / 4, 2.5 / 4, -1 / 8))
    assert (cell.units, cell.groups) == (2, 2)
    assert mean_cell(before, np.full(4, np.nan), Grouping(np.arange(4), 4)) is None


def test_a_spearman_cell_equals_scipys_correlations():
    x, z = default_rng(0).normal(size=(2, 40))
    y = default_rng(1).integers(0, 4, size=40) / 4
    cell = spearman_cell(x, z, y, Grouping(np.arange(40) // 2, 20))
    assert cell is not None
    assert (cell.before, cell.after) == pytest.approx(
        (stats.spearmanr(x, y)[0], stats.spearmanr(z, y)[0])
    )
    assert cell.mean == pytest.approx(cell.after - cell.before)
    assert (cell.units, cell.groups, cell.limit) == (40, 20, 2)
    assert spearman_cell(x, np.ones(40), y, Grouping(np.arange(40), 40)) is None


def test_a_draw_equals_the_statistic_of_its_units_written_out():
    generator = default_rng(0)
    x, z, y = generator.normal(size=(3, 30))
    position, weights = generator.integers(8, size=30), generator.uniform(size=30)
    mean, correlation = (
        mean_cell(x, z, Grouping(position, 8), weights),
        spearman_cell(x, z, y, Grouping(position, 8)),
    )
    assert mean is not None
    assert correlation is not None
    times = np.array([2, 0, 1, 0, 3, 1, 1, 0])
    drawn = np.repeat(np.arange(30), times[position])
    ranks = [stats.rankdata(values)[drawn] for values in (x, z, y)]
    expected = np.corrcoef(ranks[1], ranks[2])[0, 1] - np.corrcoef(ranks[0], ranks[2])[0, 1]
    assert mean.statistic(times[None] @ mean.sums)[0] == pytest.approx(
        np.average((z - x)[drawn], weights=weights[drawn])
    )
    assert correlation.statistic(times[None] @ correlation.sums)[0] == pytest.approx(expected)


def test_all_cells_share_their_draws():
    grouping = Grouping(np.arange(150) // 3, 50)
    a, b, c = default_rng(0).uniform(size=(3, 150))
    cells = [cell for pair in ((a, b), (b, c), (a, c)) if (cell := mean_cell(*pair, grouping))]
    drawn = draw_differences(cells, samples=100, seed=4)
    assert drawn.shape == (100, 3)
    assert drawn[:, 0] + drawn[:, 1] == pytest.approx(drawn[:, 2])


def test_a_draw_without_any_group_of_a_cell_stands_at_its_difference():
    gain = default_rng(0).uniform(size=200)
    cell = mean_cell(
        np.zeros(200), gain, Grouping(np.arange(200), 200), (np.arange(200) < 1).astype(np.float64)
    )
    assert cell is not None
    assert draw_differences([cell], samples=200, seed=0) == pytest.approx(gain[0])

"""Shrinkage of many differences toward their mean, against the closed form of its model."""

import numpy as np
import pytest

from medembed.evaluation.bootstrap import Grouping, draw_differences, mean_cell
from medembed.evaluation.shrink import risks_of_loss, shrink


def test_cells_that_differ_by_chance_alone_are_believed_to_be_near_their_mean():
    """Four cells of independent questions: the closed form is a weighted mean of cell and grand
    mean.
    """
    means = np.array([0.02, 0.01, 0.0, 0.01])
    error = 0.02
    posterior = shrink(means, np.eye(4) * error**2, list("abcd"))
    own_share = 0.01**2 / (0.01**2 + error**2)
    assert posterior.means == pytest.approx(
        own_share * means + (1 - own_share) * means.mean(), abs=1e-5
    )
    assert (posterior.errors < error).all()


def test_a_cell_that_stands_apart_by_more_than_chance_speaks_for_itself():
    means = np.array([0.02, 0.02, 0.02, -0.08])
    posterior = shrink(means, np.eye(4) * 0.01**2, list("abcd"))
    assert posterior.means[3] < -0.07
    assert posterior.means[:3] == pytest.approx(0.02, abs=0.003)


def test_what_is_measured_exactly_is_believed():
    means = np.array([0.02, -0.03])
    posterior = shrink(means, np.zeros((2, 2)), ["a", "b"])
    assert posterior.means == pytest.approx(means, abs=1e-6)
    assert posterior.errors == pytest.approx(0, abs=1e-4)


def test_another_dimension_of_the_same_questions_tells_more_than_other_questions_do():
    means = np.array([-0.02, -0.02, 0.02, 0.02])
    covariance = np.eye(4) * 0.02**2
    same_questions = shrink(means, covariance, ["fr", "fr", "en", "en"])
    other_questions = shrink(means, covariance, list("abcd"))
    assert same_questions.means[0] < other_questions.means[0]


def cell_of(gain: np.ndarray, count: int, start: int):
    position = np.arange(start, start + len(gain))
    cell = mean_cell(np.full(len(gain), 0.5), 0.5 + gain, Grouping(position, count))
    assert cell is not None
    return cell


def test_a_risk_is_that_of_a_loss_beyond_the_margin_and_of_too_few_groups_it_is_one():
    noise = np.random.default_rng(0).normal(0, 0.05, 200)
    noise -= noise.mean()
    cells = [
        cell_of(gain + noise, 609, start) for gain, start in ((0.05, 0), (0.05, 200), (-0.10, 400))
    ]
    cells.append(cell_of(np.full(9, 0.5), 609, 600))
    drawn = draw_differences(cells, samples=500, seed=0)
    risks = risks_of_loss(cells, drawn, list("abcd"), margin=0.01)
    assert risks[0] < 1e-3
    assert risks[1] < 1e-3
    assert risks[2] > 0.999
    assert risks[3] == 1.0
    assert risks_of_loss(cells[3:], drawn[:, 3:], ["d"], margin=0.01) == [1.0]


def test_one_cell_alone_is_judged_by_itself():
    noise = np.random.default_rng(0).normal(0, 0.1, 100)
    cell = cell_of(noise - noise.mean() - 0.01, 100, 0)
    drawn = draw_differences([cell], samples=500, seed=0)
    assert risks_of_loss([cell], drawn, ["a"], margin=0.01) == [pytest.approx(0.5, abs=0.01)]

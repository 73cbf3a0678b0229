"""Estimate each of many measured differences from all of them: shrink to their mean. Pure.

A cell of few questions is measured badly, and its neighbours tell more of it than it does itself:
the same questions at another dimension, the same model in another language. How much they tell is
read off the differences: where all cells agree, each is believed to be near their mean; where one
stands apart by more than chance, each speaks for itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from medembed.evaluation.bootstrap import FEWEST_GROUPS, Cell
from medembed.evaluation.metrics import Values

# Standard deviations of the cells' true differences that are tried. The least is believed whatever
# the data say: a dimension or language of its own may always be a point apart.
_SPREADS = (0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08)
_SHARED = 0.5  # of the variance between cells, which cells of the same questions have in common
_ANYWHERE = 1.0  # the prior of the mean of all: metrics go from 0 to 1, so it says nothing
_ROUNDING = 1e-9


class Shrunk(NamedTuple):
    """Of each cell the expected true difference and its standard error: float64 [cells] each."""

    means: Values
    errors: Values


def shrink(means: Values, covariance: Values, questions: Sequence[object]) -> Shrunk:
    """Return the posterior of each cell's true difference under a normal model of all of them.

    `means` float64 [cells] were measured with `covariance` float64 [cells, cells]; cells that have
    the same value in `questions` are about the same questions. The spread between cells is the one
    of greatest marginal likelihood (empirical Bayes: Efron and Morris 1975; Gelman et al., Bayesian
    Data Analysis, 3rd edition, chapter 5).
    """
    labels = np.asarray([str(label) for label in questions])
    related = np.where(labels[:, None] == labels[None, :], _SHARED, 0.0)
    np.fill_diagonal(related, 1.0)
    priors = [spread**2 * related + _ANYWHERE**2 for spread in _SPREADS]
    best = max(priors, key=lambda prior: _log_likelihood(means, prior + covariance))
    gain = np.linalg.solve(best + covariance, best).T
    variances = np.diag(best - gain @ best)
    return Shrunk(gain @ means, np.sqrt(np.maximum(variances, 0.0)))


def _log_likelihood(values: Values, covariance: Values) -> float:
    """Return that of a normal with mean 0, less what is the same for all covariances."""
    distance = values @ np.linalg.solve(covariance, values)
    return float(-0.5 * (distance + np.linalg.slogdet(covariance)[1]))


def risks_of_loss(
    cells: Sequence[Cell], drawn: Values, questions: Sequence[object], margin: float
) -> list[float]:
    """Return the probability that each cell's true difference is `-margin` or less, given all.

    `drawn` float64 [samples, cells] are the differences in each resample. Cells of fewer than
    FEWEST_GROUPS groups say nothing: their risk is 1, and the others do not hear them.
    """
    risks = [1.0] * len(cells)
    measured = [number for number, cell in enumerate(cells) if cell.groups >= FEWEST_GROUPS]
    if not measured:
        return risks
    groups = np.array([cells[number].effective_groups for number in measured])
    # a bootstrap's standard errors are too small by as much
    widened = np.sqrt(groups / (groups - 1))
    covariance = np.atleast_2d(np.cov(drawn[:, measured], rowvar=False)) * np.outer(
        widened, widened
    )
    means = np.array([cells[number].mean for number in measured])
    posterior = shrink(means, covariance, [questions[number] for number in measured])
    for number, mean, error, count in zip(
        measured, posterior.means, posterior.errors, groups, strict=True
    ):
        distance = (-margin - float(mean)) / max(float(error), _ROUNDING)
        risks[number] = float(special.stdtr(count - 1, distance))
    return risks

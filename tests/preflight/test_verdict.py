from dataclasses import replace

import numpy as np
import pytest

from medembed.preflight.estimate import MeanInterval, interval
from medembed.preflight.quality import ALL, Kept, RecallCell, Survey
from medembed.preflight.verdict import decide

LOW, UNSURE, HIGH = (
    MeanInterval(0.50, 0.45, 0.55),
    MeanInterval(0.68, 0.62, 0.73),
    MeanInterval(0.80, 0.75, 0.84),
)


def cell(
    recall: MeanInterval, name: str = ALL, dimension: int = 384, sure: MeanInterval | None = None
) -> RecallCell:
    return RecallCell(name, dimension, 40, 40, recall, sure or recall)


def survey(*cells: RecallCell, kept: tuple[Kept, ...] = ()) -> Survey:
    return Survey(cells, 0.5, kept, {})


@pytest.mark.parametrize(
    ("pairs", "recall", "answer"),
    [
        (1000, LOW, "fine-tune"),
        (999, LOW, "marginal"),
        (500, LOW, "marginal"),
        (499, LOW, "do not"),
        (1000, UNSURE, "marginal"),
        (1000, MeanInterval(0.72, 0.66, 0.77), "marginal"),
        (1000, MeanInterval(0.72, 0.70, 0.77), "do not"),
        (50_000, HIGH, "do not"),
        (700, HIGH, "do not"),
        (499, UNSURE, "do not"),
        (1000, None, "marginal"),
        (0, None, "do not"),
    ],
)
def test_at_full_width_alone_the_published_rules_decide(
    pairs: int, recall: MeanInterval | None, answer: str
):
    assert decide(pairs, recall and survey(cell(recall)), "dev").answer == answer


@pytest.mark.parametrize(
    ("other", "answer"),
    [
        (cell(LOW, dimension=64), "fine-tune"),
        (cell(LOW, "fr -> en"), "fine-tune"),
        (cell(LOW, "tag lay", 64), "fine-tune"),
        (cell(LOW, "fr -> en", 64, sure=MeanInterval(0.5, 0.29, 0.71)), "marginal"),
        (cell(UNSURE, dimension=64), "marginal"),
        (cell(MeanInterval(0.72, 0.66, 0.77), dimension=64), "marginal"),
        (cell(MeanInterval(0.72, 0.52, 0.87), "fr -> en"), "do not"),
        (cell(HIGH, "fr -> en", 64), "do not"),
    ],
)
def test_a_good_mean_hides_neither_a_dimension_nor_a_slice(other: RecallCell, answer: str):
    found = decide(1000, survey(cell(HIGH), other), "dev")
    assert found.answer == answer
    assert f"is {other.name} at {other.dimension} dimensions" in found.reasons[2]
    assert decide(499, survey(cell(HIGH), other), "dev").answer == "do not"
    assert decide(700, survey(cell(HIGH), other), "dev").answer == (
        "do not" if answer == "do not" else "marginal"
    )


@pytest.mark.parametrize(
    ("share", "answer"),
    [
        (MeanInterval(0.80, 0.75, 0.89), "fine-tune"),
        (MeanInterval(0.85, 0.79, 0.91), "marginal"),
        (MeanInterval(0.92, 0.86, 0.98), "do not"),
        (MeanInterval(0.97, 0.94, 0.99), "do not"),
    ],
)
def test_a_dimension_that_loses_a_tenth_of_the_full_width_is_worth_training_though_its_recall_is_good(
    share: MeanInterval, answer: str
):
    found = survey(
        cell(HIGH),
        cell(HIGH, dimension=64),
        kept=(Kept(128, MeanInterval(1, 1, 1)), Kept(64, share)),
    )
    verdict = decide(1000, found, "dev")
    assert verdict.answer == answer
    assert verdict.reasons[3].startswith(
        f"64 dimensions keep {share.value:.0%} of the full width's recall"
    )


def test_the_worst_is_the_surest_and_not_the_lowest_by_chance():
    small = cell(MeanInterval(0.40, 0.20, 0.64), "tag rare", sure=MeanInterval(0.40, 0.12, 0.76))
    sure = cell(MeanInterval(0.55, 0.50, 0.60), "fr -> en", sure=MeanInterval(0.55, 0.46, 0.64))
    reasons = decide(1000, survey(cell(HIGH), small, sure), "dev").reasons
    assert reasons[2] == (
        "The worst of 3 cells (dimension x slice) is fr -> en at 384 dimensions: 0.55 in 40 "
        "queries (0.46 to 0.64, wide enough for all cells at once): surely under 0.70, there is "
        "room to improve."
    )


@pytest.mark.parametrize(
    ("outranked", "answer"),
    [
        (MeanInterval(0.50, 0.47, 0.53), "do not"),
        (MeanInterval(0.60, 0.57, 0.63), "do not"),
        (MeanInterval(0.46, 0.41, 0.51), "do not"),
        (MeanInterval(0.50, 0.39, 0.61), "fine-tune"),
        (MeanInterval(0.30, 0.27, 0.33), "fine-tune"),
        (None, "fine-tune"),
    ],
)
def test_where_a_model_surely_orders_by_chance_no_number_of_pairs_says_fine_tune(
    outranked: MeanInterval | None, answer: str
):
    missed = replace(survey(cell(MeanInterval(0.01, 0.0, 0.04))), outranked=outranked)
    verdict = decide(100_000, missed, "dev")
    assert verdict.answer == answer
    said = [
        reason
        for reason in verdict.reasons
        if "of all documents rank before a query's positive" in reason
    ]
    assert len(said) == (answer == "do not")


def test_chance_in_many_slices_of_a_good_model_hardly_ever_says_fine_tune():
    generator = np.random.default_rng(0)
    groups = [str(number) for number in range(30)]
    answers = []
    for _ in range(300):
        cells = [cell(HIGH)]
        for number in range(40):
            values = generator.binomial(1, 0.80, 30).astype(np.float64)
            own = interval(values, groups, is_sampled=False)
            cells.append(
                cell(
                    own,
                    f"tag {number}",
                    sure=interval(values, groups, is_sampled=False, together=41),
                )
            )
        answers.append(decide(1000, survey(*cells), "dev").answer)
    assert answers.count("fine-tune") <= 8, "at most 2.5%"


def test_the_reasons_carry_the_numbers():
    assert decide(1234, survey(cell(LOW)), "dev").reasons == (
        "1,234 training pairs: 1,000 are enough.",
        "The base model's recall@10 on dev, with all 384 dimensions, is 0.50 (95% interval 0.45 "
        "to 0.55): under 0.70 there is room to improve.",
    )


def test_without_a_measurement_the_reason_says_so():
    assert decide(1234, None, "test").reasons[1] == (
        "The base model cannot be measured: no test query has a positive document."
    )

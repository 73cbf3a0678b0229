import numpy as np
import pytest

from medembed.encoding.config import EncodingConfig
from medembed.mining.config import MiningConfig
from medembed.preflight.encode_probe import EncodeCost
from medembed.preflight.plan import (
    measure_cut,
    plan_encoding,
    plan_training,
    row_weights,
    typical_length,
)
from medembed.preflight.sample import CorpusSample
from medembed.preflight.train_probe import TrainCost, seconds_per_step
from medembed.training.config import TrainingConfig


def test_a_drawn_row_stands_for_the_rest_of_the_corpus_and_a_forced_one_for_itself():
    corpus = CorpusSample(
        (("a", ""), ("b", "")), (("c", ""), ("d", "")), {}, documents=12, rows=12, labelled=0
    )
    assert row_weights(corpus).tolist() == [1, 1, 5, 5]


def test_a_cut_counts_rows_and_tokens_past_the_length():
    cut = measure_cut(np.array([10, 30, 20]), np.array([1.0, 1.0, 2.0]), 20)
    assert (cut.rows, cut.tokens) == (0.25, 10 / 80)
    assert measure_cut(np.array([10, 30, 20]), np.ones(3), 30).tokens == 0


def test_the_typical_length_is_that_of_95_in_100_rows():
    assert typical_length(np.arange(100, 0, -1), np.ones(100)) == 95
    assert typical_length(np.array([500, 10]), np.array([1.0, 19.0])) == 10


def test_encoding_takes_the_time_of_all_tokens_twice_shared_by_the_workers():
    cost = EncodeCost(rows=100, tokens=2000, seconds=4.0, memory_bytes=7, capacity_bytes=0)
    plan = plan_encoding(
        cost, np.array([10, 50]), np.array([100.0, 10.0]), 40, 2, EncodingConfig(cpus_per_worker=3)
    )
    assert (plan.rows_per_s, plan.tokens_per_s) == (50, 1000), (
        "25 rows and 500 tokens a second each"
    )
    assert plan.seconds == pytest.approx(2 * (100 * 10 + 10 * 40) / 1000)
    assert (plan.workers, plan.cpus, plan.memory_bytes) == (2, 3, 7)


def test_training_takes_the_time_of_all_its_steps():
    training = TrainingConfig(batch_size=16, workers=2, epochs=2)
    plan = plan_training(TrainCost(1.5, 9, 0), 100, MiningConfig(negatives=3), training)
    assert (plan.steps, plan.seconds, plan.negatives) == (6, 9.0, 2 * 16 * 4 - 1)


def test_a_batch_of_64_with_one_mined_negative_each_gives_127_negatives():
    assert plan_training(None, 0, MiningConfig(), TrainingConfig()).negatives == 127
    assert plan_training(None, 0, MiningConfig(), TrainingConfig()).seconds is None


def test_the_first_step_warms_up_and_counts_only_if_it_is_alone():
    assert seconds_per_step([0.0, 9.0, 10.0, 12.0]) == 1.5
    assert seconds_per_step([1.0, 9.0]) == 8.0

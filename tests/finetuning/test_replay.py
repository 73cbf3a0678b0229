import numpy as np
import pytest

from medembed.finetuning.candidate import of_increment
from medembed.finetuning.champion import Champion
from medembed.finetuning.replay import choose_at_risk, choose_hardest, choose_uniform
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.registry.models import Version

OLD = [f"q{n}" for n in range(100)]


def test_a_uniform_choice_depends_on_ids_and_seed_alone_and_grows_by_adding():
    chosen = choose_uniform(OLD, 10, seed=0)
    assert choose_uniform(list(reversed(OLD)), 10, seed=0) == chosen
    assert choose_uniform(OLD, 20, seed=0)[:10] == chosen
    assert set(choose_uniform(OLD, 10, seed=1)) != set(chosen)
    assert len(set(chosen)) == 10


def test_the_hardest_have_the_smallest_margin_and_ties_fall_to_smaller_ids():
    margins = {"a": 0.5, "b": -0.1, "d": 0.2, "c": 0.2}
    assert choose_hardest(margins, 3) == ["b", "c", "d"]


def test_at_risk_are_the_old_queries_nearest_to_any_new_one():
    vectors = np.eye(4, dtype=np.float32)
    new = np.array([[0, 0, 0.8, 0.6]], dtype=np.float32)
    assert choose_at_risk(["a", "b", "c", "d"], vectors, new, 3) == ["c", "d", "a"]
    assert choose_at_risk(["b", "a"], vectors[:2], new[:0], 1) == ["a"]


@pytest.mark.parametrize(("full_every", "full"), [(None, []), (1, [0, 1, 2, 3]), (3, [2, 3])])
def test_one_of_so_many_retrainings_begins_anew(full_every: int | None, full: list[int]):
    version = Version("medembed", "1", "/models/1", "", {})
    champions = [
        Champion(version, "/models/1", "e", None, None, increments) for increments in range(4)
    ]
    assert [one.increments for one in champions if one.is_full_due(full_every)] == full
    assert Champion(None, "/models/1", "e", None, None, 0).is_full_due(full_every), (
        "there is nothing to train on from"
    )


def test_an_increment_learns_more_gently_than_a_full_retraining():
    training = {"learning_rate": 2e-4, "epochs": 2, "average": 0.9, "batch_size": 16}
    increment = {"learning_rate_share": 0.25, "epochs_share": 0.6, "average": 0.4}
    given = {"source": {"path": "landing"}, "training": training, "increment": increment}
    config = RetrainConfig.model_validate(given)
    gentle = of_increment(config)
    assert (gentle.learning_rate, gentle.epochs, gentle.average) == (5e-5, 1.2, 0.4)
    assert gentle.batch_size == 16
    # null: as in any training
    given["increment"] = {"average": None}
    assert of_increment(RetrainConfig.model_validate(given)).average == 0.9

import pytest

from medembed.finetuning.candidate import choose_replay, of_increment
from medembed.finetuning.champion import Champion
from medembed.finetuning.retrain_config import IncrementConfig, RetrainConfig
from medembed.registry.models import Version

OLD = [f"q{n}" for n in range(100)]


def test_a_replay_depends_on_ids_and_seed_alone_and_grows_by_adding():
    increment = IncrementConfig(replay=0.5)
    chosen = choose_replay(OLD, 20, increment)
    assert choose_replay(reversed(OLD), 20, increment) == chosen
    assert choose_replay(OLD, 40, increment)[:10] == chosen
    assert set(choose_replay(OLD, 20, IncrementConfig(replay=0.5, seed=1))) != set(chosen)
    assert len(set(chosen)) == 10
    assert choose_replay(OLD[:3], 20, increment) == choose_replay(OLD[:3], 6, increment)


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

import pytest

from medembed.finetuning.candidate import choose_replay
from medembed.finetuning.champion import Champion
from medembed.finetuning.retrain_config import IncrementConfig
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

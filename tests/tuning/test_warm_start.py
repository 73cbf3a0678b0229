from pathlib import Path
from typing import Any

import pytest

from medembed.errors import StorageError
from medembed.tuning.space import default_point
from medembed.tuning.trials import Measured, TrialRecord, Trials
from medembed.tuning.tune import read_config
from medembed.tuning.warm_start import warm_starts
from tests.tuning.configs import make_config


def write(folder: Path, *trials: tuple[float, dict[str, Any], Any]) -> str:
    trials_there = Trials(str(folder))
    for number, (score, point, state) in enumerate(trials):
        trials_there.write(TrialRecord(number, point, state, (Measured(2400, score, {}),)))
    return str(folder)


def test_the_best_earlier_points_that_lie_on_the_axes_come_first_and_what_was_not_searched_is_as_in_trial_0(
    tmp_path: Path,
):
    earlier = write(
        tmp_path,
        (0.5, {"training.temperature": 0.05}, "complete"),  # trial 0's own
        (0.9, {"training.temperature": 0.6}, "complete"),  # outside
        (0.8, {"training.temperature": 0.02, "training.learning_rate": 1e-3}, "complete"),
        (0.95, {"training.temperature": 0.03}, "stopped"),
        (0.7, {"training.temperature": 0.02}, "complete"),  # once more
        (0.6, {"training.temperature": 0.04, "mining.negatives": 3}, "complete"),
    )
    config = make_config(warm_start=earlier)
    axes = config.axes()
    assert default_point(axes) == {"training.temperature": 0.05, "mining.negatives": 1}
    assert warm_starts(config, axes) == [
        {"training.temperature": 0.02, "mining.negatives": 1},
        {"training.temperature": 0.04, "mining.negatives": 3},
    ]
    assert warm_starts(make_config(), axes) == []


def test_what_is_no_search_is_refused(tmp_path: Path):
    config = make_config(
        warm_start=write(tmp_path, (0.9, {"training.temperature": 0.03}, "stopped"))
    )
    with pytest.raises(StorageError, match="found no trial there that was trained to its end"):
        warm_starts(config, config.axes())
    with pytest.raises(
        StorageError, match=r"expected the output of medembed tune, but found no tune\.yaml there"
    ):
        read_config(str(tmp_path))


def test_records_are_read_back_as_they_were_written(tmp_path: Path):
    write(tmp_path, (0.5, {"a": 1}, "complete"), (0.25, {"a": None}, "failed"))
    known = Trials.read(str(tmp_path))
    assert [(each.number, each.state, each.score, each.examples) for each in known.all()] == [
        (0, "complete", 0.5, 2400),
        (1, "failed", 0.25, 2400),
    ]
    known.change(1, state="complete", course=(Measured(1, 0.5, {}), Measured(2, 0.4, {})))
    again = Trials.read(str(tmp_path))
    assert again.known == known.known
    assert again.best() == again.known[0], "the earlier of equals"
    assert TrialRecord(0, {}).score < -1e9

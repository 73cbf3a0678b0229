import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from medembed.config import load_config
from medembed.errors import ConfigError, DataError
from medembed.tuning.config import TuneConfig
from medembed.tuning.pool import fit_pairs
from medembed.tuning.space import default_point
from tests.tuning.configs import make_config

SEARCH = {
    "training.learning_rate": {"log_uniform": [1e-5, 1e-3]},
    "training.weights": {"simplex": [0.1]},
    "training.batch_size": {"choice": [32, 64]},
    "mining.negatives": {"integer": [0, 4]},
}


def make(**changes: Any) -> TuneConfig:
    return make_config(**{"search": SEARCH} | changes)


def refused(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        make(**changes)
    return str(caught.value)


def test_trial_0_is_the_configuration_as_it_stands():
    config = make()
    training, mining = config.settings(default_point(config.axes()))
    assert training.weights == pytest.approx((1, 1))
    assert (training.model_copy(update={"weights": None}), mining) == (
        config.training,
        config.mining,
    )


def test_weights_that_were_set_are_trial_0s_up_to_their_scale():
    for spec in ({"simplex": [0.1]}, {"log_uniform": [0.1, 10]}):
        config = make(training={"weights": [1, 3]}, search={"training.weights": spec})
        training, _ = config.settings(default_point(config.axes()))
        assert training.weights == pytest.approx((0.5, 1.5))


def test_a_point_sets_its_keys_and_leaves_the_others():
    config = make(
        search={
            "training.adapter.rank": {"log_integer": [4, 64]},
            "mining.margin": {"choice": [None, 0.05]},
        },
        training={"adapter": {"kind": "lora"}},
    )
    training, mining = config.settings({"training.adapter.rank": 8, "mining.margin": None})
    assert (training.adapter.rank, training.adapter.kind, mining.margin) == (8, "lora", None)
    assert training.learning_rate == config.training.learning_rate


def test_shares_of_a_simplex_stay_above_the_lowest_and_weights_have_mean_1():
    config = make()
    names = [axis.name for axis in config.axes() if axis.key == "training.weights"]
    for low, high in ((0.001, 0.999), (0.5, 0.9), (0.999, 0.001)):
        training, _ = config.settings(dict(zip(names, (low, high), strict=True)))
        assert training.weights is not None
        assert math.isclose(sum(training.weights), 2)
        assert min(training.weights) >= 2 * 0.1 - 1e-12


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({}, "search: empty; name a key to search"),
        (
            {"training.learning_rat": {"uniform": [0, 1]}},
            "nearest that can be searched is 'training.learning_rate'",
        ),
        (
            {"mining.window": {"integer": [1, 9]}},
            "of mining only mining.negatives and mining.margin",
        ),
        ({"training.select_by": {"choice": ["mrr@10"]}}, "trials are compared or computed by it"),
        ({"training.learning_rate": {"log": [1e-5, 1e-3]}}, "expected one of uniform, log_uniform"),
        ({"training.learning_rate": {"log_uniform": [1e-3, 1e-5]}}, "two rising numbers"),
        ({"training.learning_rate": {"log_uniform": [0, 1e-3]}}, "expected a lowest value above 0"),
        (
            {"training.learning_rate": {"uniform": [1e-5, 2.0]}},
            "cannot be 2.0: Input should be less than 1",
        ),
        (
            {"training.learning_rate": {"uniform": [1e-3, 1e-2]}},
            "trial 0 has 0.0001, which uniform [0.001, 0.01] leaves",
        ),
        ({"training.batch_size": {"choice": [32, 128]}}, "trial 0 has 64"),
        ({"training.batch_size": {"uniform": [32, 128]}}, "cannot be 68.668"),
        ({"training.batch_size": {"integer": [0.5, 64]}}, "two rising numbers"),
        ({"training.weights": {"simplex": [0.5]}}, "below 1/2"),
        ({"training.adapter.rank": {"integer": [4, 32]}}, "only an adapter has it"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_starts(
    search: dict[str, Any], expected: str
):
    assert expected in refused(search=search)


def test_a_budget_below_a_trial_and_an_objective_that_is_not_trained_are_refused():
    assert "a step of batch size 64 reads 64" in refused(pairs=40)
    many = {"training.accumulation_steps": {"choice": [1, 64]}}
    assert "a step of batch size 64 reads 4096" in refused(search=many)
    assert "found a range" in refused(training={"workers": (1, 4)})
    assert "first rung is at 50 examples, but a step of batch size 64" in refused(pairs=400)
    assert "greater than or equal to 1" in refused(trials=0)
    assert "greater than 0" in refused(hours=0)
    assert "found dimension 128" in refused(objective={128: 1})


def test_a_command_line_and_a_file_say_what_is_searched_alike(tmp_path: Path):
    file = tmp_path / "tune.yaml"
    file.write_text(
        "model: m\ndata: d\noutput: o\nsearch:\n  training.learning_rate: {log_uniform: "
        "[1.0e-5, 1.0e-3]}\n"
    )
    given = [
        "search.training.learning_rate.log_uniform=[1e-5,1e-3]",
        "search.mining.negatives.integer=[0,3]",
    ]
    from_line = load_config(TuneConfig, ["model=m", "data=d", "output=o", *given])
    from_file = load_config(TuneConfig, [str(file), "search.mining.negatives.integer=[0,3]"])
    assert from_line == from_file
    assert [axis.name for axis in from_line.axes()] == [
        "training.learning_rate",
        "mining.negatives",
    ]


def test_rungs_halve_what_a_trial_sees():
    assert make().rung_examples == (300, 600, 1200)
    assert make(halving=4, rungs=2).rung_examples == (150, 600)
    assert make(training={"epochs": 2}).rung_examples == (600, 1200, 2400)
    with pytest.raises(ConfigError, match="log_uniform"):
        load_config(
            TuneConfig, ["model=m", "data=d", "output=o", "search.training.seed.logs=[1,2]"]
        )


def test_a_data_set_with_fewer_pairs_than_asked_sets_the_budget_and_too_few_are_refused():
    config = make(pairs=2400)
    assert fit_pairs(config, "pool", 2400) == config
    assert fit_pairs(config, "pool", 800).rung_examples == (100, 200, 400)
    with pytest.raises(DataError, match="pool: too few pairs for training: pairs: found 40"):
        fit_pairs(config, "pool", 40)

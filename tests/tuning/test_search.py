"""Optuna and ASHA as the search uses them, without a training: scores are a function of the
point.
"""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from medembed.tuning.config import TuneConfig
from medembed.tuning.records import DONE, EXAMPLES, FAILED, OBJECTIVE, Measured, Record
from medembed.tuning.search import Search, make_scheduler, replay
from medembed.tuning.space import default_point

CONFIG = TuneConfig.model_validate(
    {
        "model": "m",
        "data": "d",
        "output": "o",
        "trials": 8,
        "pairs": 800,
        "training": {"dimensions": [384, 64]},
        "search": {
            "training.temperature": {"log_uniform": [0.01, 0.5]},
            "mining.negatives": {"integer": [0, 4]},
        },
    }
)
Told = dict[int, Record]


def make(
    known: Told,
    started: list[int],
    config: TuneConfig = CONFIG,
    scheduler: TrialScheduler | None = None,
) -> Search:
    axes = config.axes()

    def start(number: int, point: object) -> None:
        started.append(number)

    return Search(config, axes, [default_point(axes)], known.values(), start, scheduler)


def course(point: dict[str, Any], until: int = 800) -> tuple[Measured, ...]:
    score = 1 - abs(point["training.temperature"] - 0.2)
    return tuple(
        Measured(examples, score * examples / 800, {"ndcg@10/384": score, "ndcg@10/64": score / 2})
        for examples in (100, 200, 400, 800)
        if examples <= until
    )


def run(search: Search, count: int, known: Told) -> None:
    """Trains so many trials to their end, but every third to 200 examples alone."""
    for _ in range(count):
        asked = search.suggest(f"t{len(known)}")
        number, point = asked["number"], asked["point"]
        until = 200 if number % 3 == 2 else 800
        known[number] = Record(
            number, point, "stopped" if until == 200 else "complete", course(point, until)
        )
        with warnings.catch_warnings(record=True) as warned:
            for one in [*known[number].course] * 2:  # once more, as a trial does at its end
                search.on_trial_result(
                    f"t{number}", {OBJECTIVE: one.objective, EXAMPLES: one.examples}
                )
        assert not warned
        last = known[number].course[-1]
        done = {DONE: "uri"} if until == 800 else {}
        result = {OBJECTIVE: last.objective, EXAMPLES: last.examples, **last.metrics, **done}
        search.on_trial_complete(f"t{number}", result)


def test_what_was_interrupted_goes_on_with_the_same_points_as_if_it_had_not_been():
    whole: Told = {}
    run(make({}, []), 8, whole)
    assert whole[0].point == default_point(CONFIG.axes())
    assert len({record.point["training.temperature"] for record in whole.values()}) == 8
    half, started = {number: whole[number] for number in range(4)}, list[int]()
    run(make(half, started), 4, half)
    assert started == [4, 5, 6, 7]
    assert {number: record.point for number, record in half.items()} == {
        number: record.point for number, record in whole.items()
    }


def test_a_trial_that_was_running_is_asked_for_again_before_new_ones():
    known = {
        0: Record(
            0, default_point(CONFIG.axes()), "complete", course({"training.temperature": 0.1})
        )
    }
    point = {"training.temperature": 0.3, "mining.negatives": 2}
    search = make({**known, 1: Record(1, point)}, [])
    assert search.suggest("a") == {"number": 1, "point": point}
    assert search.suggest("b")["number"] == 2


def test_a_stopped_trial_is_pruned_and_a_failed_one_failed_to_optuna_now_and_when_recalled():
    known: Told = {}
    search = make({}, [])
    run(search, 3, known)
    search.suggest("bad")
    search.on_trial_complete("bad", {OBJECTIVE: float("nan"), EXAMPLES: 0, FAILED: "diverged"})
    states = [trial.state.name for trial in search.study.trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert search.study.trials[2].intermediate_values == {
        100: known[2].course[0].objective,
        200: known[2].course[1].objective,
    }
    known[3] = Record(3, default_point(CONFIG.axes()), "failed", reason="diverged")
    recalled = make(known, []).study.trials
    assert [trial.state.name for trial in recalled] == states
    assert [trial.values for trial in recalled] == [trial.values for trial in search.study.trials]


def test_halving_stops_the_worse_half_at_a_rung_and_nothing_at_the_end():
    def record(number: int, *scores: float) -> Record:
        places = zip((100, 200, 400, 800), scores, strict=True)
        return Record(
            number, {}, "complete", tuple(Measured(at, score, {}) for at, score in places)
        )

    scheduler = make_scheduler(CONFIG)
    assert replay(scheduler, record(0, 0.5, 0.6, 0.7, 0.8)) == 800
    assert replay(scheduler, record(1, 0.4, 0.9, 0.9, 0.9)) == 100
    assert replay(scheduler, record(2, 0.6, 0.5, 0.9, 0.9)) == 200
    # worst at its end, where there is no rung
    assert replay(scheduler, record(3, 0.7, 0.7, 0.8, 0.1)) == 800


def test_rungs_know_the_trials_of_before_an_interruption():
    known = [Record(0, {}, "complete", course({"training.temperature": 0.2}))]
    worse = Record(1, {}, "complete", course({"training.temperature": 0.5}))
    assert replay(make_scheduler(CONFIG, known), worse) == 100
    assert replay(make_scheduler(CONFIG), worse) == 800


def test_a_trial_that_goes_on_stays_on_the_rungs_that_it_had_reached_and_is_not_judged_there_again():
    running = Record(
        1, {"training.temperature": 0.3, "mining.negatives": 2}, course=(Measured(100, 0.5, {}),)
    )
    known = {
        0: Record(0, default_point(CONFIG.axes()), "complete", (Measured(100, 0.1, {}),)),
        1: running,
    }
    scheduler = make_scheduler(CONFIG, known.values())
    make(known, [], scheduler=scheduler).suggest("again")
    trial, told = (
        SimpleNamespace(trial_id="again", config={"number": 1}),
        {EXAMPLES: 100, OBJECTIVE: 0.0},
    )
    assert scheduler.on_trial_result(None, trial, told) == TrialScheduler.CONTINUE
    assert (
        replay(
            scheduler, Record(2, {}, "complete", (Measured(100, 0.2, {}), Measured(800, 0.3, {})))
        )
        == 100
    )


def test_trial_0_comes_to_its_end_however_good_the_others_are():
    better = Record(1, {}, "complete", course({"training.temperature": 0.2}))
    worse = course({"training.temperature": 0.5})
    assert replay(make_scheduler(CONFIG, [better]), Record(0, {}, "complete", worse)) == 800
    assert replay(make_scheduler(CONFIG, [better]), Record(2, {}, "complete", worse)) == 100


@pytest.mark.parametrize("rows", [32, 64, 96])
def test_each_rung_is_measured_at_its_own_step(rows: int):
    from medembed.training.trial import Rungs

    steps = Rungs(CONFIG.rung_examples, {64: 1}).steps(rows)
    reached = sorted(step * rows for step in steps)
    assert all(
        0 <= seen - rung < rows for seen, rung in zip(reached, CONFIG.rung_examples, strict=True)
    )

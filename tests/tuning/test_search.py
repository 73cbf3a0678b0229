"""Search by Optuna and ASHA without a training: scores are a function of the point."""

import warnings
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from medembed.training.trial import Rungs
from medembed.tuning.search import Search, feed, make_scheduler
from medembed.tuning.space import default_point
from medembed.tuning.trials import DONE, EXAMPLES, FAILED, OBJECTIVE, Measured, TrialRecord
from tests.tuning.configs import make_config

CONFIG = make_config(trials=8, pairs=800)
DEFAULT = default_point(CONFIG.axes())


def make(known: Iterable[TrialRecord] = (), scheduler: TrialScheduler | None = None) -> Search:
    return Search(CONFIG, CONFIG.axes(), [DEFAULT], known, lambda *_: None, scheduler)


def course(temperature: float, until: int = 800) -> tuple[Measured, ...]:
    """Return scores that are best at a temperature of 0.2."""
    score = 1 - abs(temperature - 0.2)
    seen = [examples for examples in (100, 200, 400, 800) if examples <= until]
    return tuple(Measured(examples, score * examples / 800, {}) for examples in seen)


def record(number: int, *scores: float) -> TrialRecord:
    """Return a trial that was trained to its end, with these scores at the rungs and there."""
    reached = zip((100, 200, 400, 800), scores, strict=True)
    measured = tuple(Measured(examples, score, {}) for examples, score in reached)
    return TrialRecord(number, DEFAULT, "complete", measured)


def replay(scheduler: TrialScheduler, record: TrialRecord) -> int:
    """Return after how many examples the scheduler stops a trial, or its end."""
    for measured, decision in feed(scheduler, record, f"recorded-{record.number}"):
        if decision == TrialScheduler.STOP:
            return measured.examples
    return record.examples


def run(search: Search, count: int) -> list[TrialRecord]:
    """Train so many trials to their end, but every third to 200 examples alone."""
    records = []
    for trial_id in map(str, range(count)):
        asked = search.suggest(trial_id)
        is_stopped = asked["number"] % 3 == 2
        measured = course(asked["point"]["training.temperature"], 200 if is_stopped else 800)
        with warnings.catch_warnings(record=True) as warned:
            for at in [*measured, *measured]:  # once more, as a trial does at its end
                result = {OBJECTIVE: at.objective, EXAMPLES: at.examples}
                search.on_trial_result(trial_id, result)
        assert not warned
        search.on_trial_complete(trial_id, result if is_stopped else {**result, DONE: "uri"})
        state: Any = "stopped" if is_stopped else "complete"
        records.append(TrialRecord(asked["number"], asked["point"], state, measured))
    return records


def test_what_was_interrupted_goes_on_with_the_same_points_as_if_it_had_not_been():
    whole = run(make(), 8)
    assert whole[0].point == DEFAULT
    assert len({trial.point["training.temperature"] for trial in whole}) == 8
    assert run(make(whole[:4]), 4) == whole[4:]


def test_a_trial_that_was_running_is_asked_for_again_before_new_ones():
    point = {"training.temperature": 0.3, "mining.negatives": 2}
    search = make([record(0, 0.1, 0.2, 0.3, 0.4), TrialRecord(1, point)])
    assert search.suggest("a") == {"number": 1, "point": point}
    assert search.suggest("b")["number"] == 2


def test_a_stopped_trial_is_pruned_and_a_failed_one_failed_now_and_when_the_search_goes_on():
    search = make()
    records = run(search, 3)
    search.suggest("bad")
    search.on_trial_complete("bad", {OBJECTIVE: float("nan"), EXAMPLES: 0, FAILED: "diverged"})
    again = make([*records, TrialRecord(3, DEFAULT, "failed", reason="diverged")])
    for study in (search.study, again.study):
        states = [trial.state.name for trial in study.trials]
        assert states == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
        reached = {at.examples: at.objective for at in records[2].course}
        assert study.trials[2].intermediate_values == reached
        values = [trial.value for trial in study.trials]
        assert values == [*(record.course[-1].objective for record in records), None]


def test_halving_stops_the_worse_half_at_a_rung_and_nothing_at_the_end():
    scheduler = make_scheduler(CONFIG)
    assert replay(scheduler, record(0, 0.5, 0.6, 0.7, 0.8)) == 800
    assert replay(scheduler, record(1, 0.4, 0.9, 0.9, 0.9)) == 100
    assert replay(scheduler, record(2, 0.6, 0.5, 0.9, 0.9)) == 200
    assert replay(scheduler, record(3, 0.7, 0.7, 0.8, 0.1)) == 800, "there is no rung at the end"


def test_rungs_know_the_trials_of_before_an_interruption_and_spare_trial_0():
    better = record(1, 0.6, 0.6, 0.6, 0.6)
    assert replay(make_scheduler(CONFIG, [better]), record(2, 0.5, 0.9, 0.9, 0.9)) == 100
    assert replay(make_scheduler(CONFIG), record(2, 0.5, 0.9, 0.9, 0.9)) == 800
    assert replay(make_scheduler(CONFIG, [better]), record(0, 0.5, 0.5, 0.5, 0.5)) == 800


def test_a_trial_that_goes_on_stays_on_the_rungs_that_it_had_reached_and_is_not_judged_there_again():
    known = [
        TrialRecord(0, DEFAULT, "complete", (Measured(100, 0.1, {}),)),
        TrialRecord(1, DEFAULT, course=(Measured(100, 0.5, {}),)),
    ]
    scheduler = make_scheduler(CONFIG, known)
    make(known, scheduler).suggest("again")
    trial = SimpleNamespace(trial_id="again", config={"number": 1})
    decision = scheduler.on_trial_result(None, trial, {EXAMPLES: 100, OBJECTIVE: 0.0})
    assert decision == TrialScheduler.CONTINUE
    assert replay(scheduler, record(2, 0.2, 0.3, 0.3, 0.3)) == 100


@pytest.mark.parametrize("rows", [32, 64, 96])
def test_each_rung_is_measured_at_its_own_step(rows: int):
    steps = sorted(Rungs(CONFIG.rung_examples, {64: 1}).steps(rows))
    for step, rung in zip(steps, CONFIG.rung_examples, strict=True):
        assert 0 <= step * rows - rung < rows

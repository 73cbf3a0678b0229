"""Optuna's search and Ray Tune's halving, begun from what is known of a search that was
interrupted.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from medembed.tuning.config import TuneConfig
from medembed.tuning.records import Measured, Record
from medembed.tuning.space import Axis, Point
from medembed.tuning.trial import DONE, EXAMPLES, FAILED, OBJECTIVE

# by a trial that tells its course once more
_AGAIN = "The reported value is ignored because this `step="
Started = Callable[[int, Point], None]


class Search(OptunaSearch):
    """Multivariate TPE whose draws depend on seed, trial number and history alone (Bergstra et al.
    2011).

    A trial that halving stops is told to Optuna as pruned, with what it had reached, not as a full
    result.
    """

    def __init__(
        self,
        config: TuneConfig,
        axes: Sequence[Axis],
        planned: Sequence[Point],
        records: Iterable[Record],
        started: Started,
        scheduler: TrialScheduler | None = None,
    ) -> None:
        """`planned` come first, from trial 0 on; `records` are known: those that are over are not
        tried again.

        `scheduler` is told what a trial had reached that goes on.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message=_AGAIN)
        metrics = objectives(config)
        space = {axis.name: axis.distribution() for axis in axes}
        super().__init__(
            space,
            metric=metrics if len(metrics) > 1 else metrics[0],
            mode=["max"] * len(metrics) if len(metrics) > 1 else "max",
        )
        self.config, self.started, self.scheduler = config, started, scheduler
        # A quarter of the trials are drawn by chance before the model of good settings is asked.
        self.by_chance = max(3, config.trials // 4)
        self.known = {record.number: record for record in records}
        for record in self.known.values():
            self._recall(record, space)
        for point in planned[len(self.known) :]:
            self._ot_study.enqueue_trial(point)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """{"number", "point"} of the next trial."""
        from optuna.samplers import TPESampler

        number = self._next_number()
        self._ot_study.sampler = TPESampler(
            n_startup_trials=self.by_chance,
            multivariate=True,
            constant_liar=True,
            seed=self.config.seed * 1009 + number,
        )
        asked = self._ot_trials[trial_id] = self._ot_study.ask(fixed_distributions=self._space)
        if asked.number in self.known and self.scheduler is not None:
            recall(self.scheduler, self.known[asked.number], trial_id)
        self.started(asked.number, dict(asked.params))
        return {"number": asked.number, "point": dict(asked.params)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if FAILED not in result and DONE not in result and not isinstance(self.metric, list):
            self._ot_trials[trial_id].report(result[self.metric], int(result[EXAMPLES]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        failed = error or not result or FAILED in result
        is_complete = result is not None and DONE in result
        super().on_trial_complete(trial_id, result if is_complete else None, error=failed)

    def _next_number(self) -> int:
        from optuna.trial import TrialState

        waiting = self._ot_study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return min(
            (trial.number for trial in waiting),
            default=len(self._ot_study.get_trials(deepcopy=False)),
        )

    def _recall(self, record: Record, space: dict[str, Any]) -> None:
        from optuna.trial import TrialState, create_trial

        if not record.is_over:
            self._ot_study.enqueue_trial(record.point)
            return
        states = {
            "complete": TrialState.COMPLETE,
            "stopped": TrialState.PRUNED,
            "failed": TrialState.FAIL,
        }
        metrics, values, course = objectives(self.config), None, {}
        if len(metrics) == 1:
            course = {one.examples: one.objective for one in record.course}
            reached = {"complete": [record.score], "stopped": list(course.values())[-1:]}
            values = reached.get(record.state) or None
        elif record.state == "complete" and record.best:
            values = [record.best.metrics[name] for name in metrics]
        self._ot_study.add_trial(
            create_trial(
                state=states[record.state],
                values=values,
                params=record.point,
                distributions=space,
                intermediate_values=course,
            )
        )


def objectives(config: TuneConfig) -> list[str]:
    """Names of what is to be high, as trials report it."""
    if not config.several:
        return [OBJECTIVE]
    return [f"{config.training.select_by}/{dimension}" for dimension in config.weights]


class Halving(ASHAScheduler):
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934) that lets trial 0 come to
    its end.

    The search is worth what its winner gains on it.
    """

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(controller, trial, result)
        return TrialScheduler.CONTINUE if trial.config["number"] == 0 else decision


def make_scheduler(config: TuneConfig, records: Iterable[Record] = ()) -> TrialScheduler:
    """Halving where the config has it, the end of a training being no rung.

    Its rungs know what recorded trials that are over had reached there.
    """
    if config.halving is None or config.several or not config.rung_examples:
        return FIFOScheduler()
    rungs = config.rung_examples
    scheduler = Halving(
        time_attr=EXAMPLES,
        metric=OBJECTIVE,
        mode="max",
        grace_period=rungs[0],
        max_t=rungs[-1] + 1,
        reduction_factor=config.halving,
        stop_last_trials=False,
    )
    for record in records:
        if record.is_over:
            recall(scheduler, record, f"recorded-{record.number}")
    return scheduler


def recall(scheduler: TrialScheduler, record: Record, trial_id: str) -> None:
    """Tells a scheduler what a trial had reached; what it decided then it has decided."""
    list(_tell(scheduler, record, trial_id))


def replay(scheduler: TrialScheduler, record: Record) -> int:
    """Tells a scheduler of a trial's whole course; after how many examples it would have stopped
    it, or its end.
    """
    for measured, decision in _tell(scheduler, record, f"recorded-{record.number}"):
        if decision == TrialScheduler.STOP:
            return measured.examples
    return record.examples


def _tell(
    scheduler: TrialScheduler, record: Record, trial_id: str
) -> Iterator[tuple[Measured, str]]:
    controller: Any = None
    trial: Any = SimpleNamespace(trial_id=trial_id, config={"number": record.number})
    scheduler.on_trial_add(controller, trial)
    for measured in record.course:
        result = {EXAMPLES: measured.examples, OBJECTIVE: measured.objective}
        yield measured, scheduler.on_trial_result(controller, trial, result)


logging.getLogger("ray.tune").setLevel(logging.WARNING)

"""Search by Optuna and stop early by Ray Tune, from what an interrupted search knows already."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from medembed.tuning.config import TuneConfig
from medembed.tuning.space import Axis, Point, list_distributions
from medembed.tuning.trials import DONE, EXAMPLES, FAILED, OBJECTIVE, Measured, TrialRecord

Started = Callable[[int, Point], None]
_FEWEST_BY_CHANCE = 3


class Search(Searcher):
    """Multivariate TPE (Bergstra et al. 2011); seed, trial number and history decide its draws.

    Ray's own OptunaSearch cannot continue with known trials, its draws depend on those before, and
    it does not call a trial pruned that halving stopped: so Optuna is asked here.
    """

    def __init__(
        self,
        config: TuneConfig,
        axes: Sequence[Axis],
        planned: Sequence[Point],
        records: Iterable[TrialRecord],
        started: Started,
        scheduler: TrialScheduler | None = None,
    ) -> None:
        """Plan `planned` first, from trial 0 on; recorded trials that are over are not repeated.

        The scheduler gets what a trial that continues had reached.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        super().__init__(metric=OBJECTIVE, mode="max")
        self.config = config
        self.started = started
        self.scheduler = scheduler
        self.distributions = list_distributions(axes)
        self.study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
        self.trials: dict[str, Any] = {}  # Optuna's, by Ray's ids
        self.reported: set[tuple[str, int]] = set()
        self.known = {record.number: record for record in records}
        for record in self.known.values():
            self._add(record)
        for point in planned[len(self.known) :]:
            self.study.enqueue_trial(point)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return {"number", "point"} of the next trial."""
        from optuna.samplers import TPESampler

        # A quarter of the trials are drawn by chance before the model of good settings is asked.
        by_chance = max(_FEWEST_BY_CHANCE, self.config.trials // 4)
        self.study.sampler = TPESampler(
            n_startup_trials=by_chance,
            multivariate=True,
            constant_liar=True,
            seed=self.config.seed * 1009 + self._next_number(),
        )
        trial = self.study.ask(fixed_distributions=self.distributions)
        self.trials[trial_id] = trial
        if trial.number in self.known and self.scheduler is not None:
            list(feed(self.scheduler, self.known[trial.number], trial_id))
        self.started(trial.number, dict(trial.params))
        return {"number": trial.number, "point": dict(trial.params)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if FAILED in result or DONE in result:
            return
        reached = (trial_id, int(result[EXAMPLES]))
        if reached not in self.reported:  # a trial reports its course once more at its end
            self.reported.add(reached)
            self.trials[trial_id].report(result[OBJECTIVE], int(result[EXAMPLES]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended; one that halving stopped is pruned, not complete."""
        from optuna.trial import TrialState

        trial = self.trials.pop(trial_id)
        if error or not result or FAILED in result:
            self.study.tell(trial, state=TrialState.FAIL)
        elif DONE in result:
            self.study.tell(trial, result[OBJECTIVE])
        else:
            self.study.tell(trial, state=TrialState.PRUNED)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing, which Ray Tune asks for from time to time: trials have records."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a search goes on from its records")

    def _next_number(self) -> int:
        from optuna.trial import TrialState

        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if waiting:
            return int(waiting[0].number)
        return len(self.study.get_trials(deepcopy=False))

    def _add(self, record: TrialRecord) -> None:
        """Add a known trial to the study; one that is not over is asked for again."""
        from optuna.trial import TrialState, create_trial

        if not record.is_over:
            self.study.enqueue_trial(record.point)
            return
        course = {measured.examples: measured.objective for measured in record.course}
        value = None
        state = TrialState.FAIL
        if record.state == "complete":
            value = record.score
            state = TrialState.COMPLETE
        elif record.state == "stopped":
            value = record.course[-1].objective if record.course else None
            state = TrialState.PRUNED
        self.study.add_trial(
            create_trial(
                state=state,
                value=value,
                params=record.point,
                distributions=self.distributions,
                intermediate_values=course,
            )
        )


class Halving(ASHAScheduler):
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934) that never stops trial 0.

    What a search is worth is what its winner gains on trial 0.
    """

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(controller, trial, result)
        return TrialScheduler.CONTINUE if trial.config["number"] == 0 else decision


def make_scheduler(config: TuneConfig, records: Iterable[TrialRecord] = ()) -> TrialScheduler:
    """Return halving if the config has it; the end of a training is no rung.

    Its rungs know what recorded trials had reached there.
    """
    if config.halving is None or not config.rung_examples:
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
            list(feed(scheduler, record, f"recorded-{record.number}"))
    return scheduler


def feed(
    scheduler: TrialScheduler, record: TrialRecord, trial_id: str
) -> Iterator[tuple[Measured, str]]:
    """Show a scheduler what a trial had reached, and yield what it decides at each rung.

    Ray 2.60's ASHA reads a trial's id and no controller, so that this trial need not run;
    tests/tuning/test_search.py fails when it reads more.
    """
    controller: Any = None
    trial: Any = SimpleNamespace(trial_id=trial_id, config={"number": record.number})
    scheduler.on_trial_add(controller, trial)
    for measured in record.course:
        result = {EXAMPLES: measured.examples, OBJECTIVE: measured.objective}
        yield measured, scheduler.on_trial_result(controller, trial, result)


logging.getLogger("ray.tune").setLevel(logging.WARNING)

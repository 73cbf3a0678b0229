"""Keep the books in the driver while trials run: records, a log line for each trial, disk space."""

import logging
import time
from typing import Any

from ray.tune import Callback

from medembed import storage
from medembed.language import tr
from medembed.training.run.private_ray_train import free_placement_group
from medembed.training.run.run_folder import remove_run, run_folder
from medembed.tuning.space import Point
from medembed.tuning.trial import Shared
from medembed.tuning.trials import (
    DONE,
    EXAMPLES,
    FAILED,
    OBJECTIVE,
    Measured,
    State,
    TrialRecord,
    Trials,
    describe,
    model_place,
)

logger = logging.getLogger(__name__)
_SETTLES_S = 30.0  # after which no worker of a stopped trial writes any more


class Bookkeeper(Callback):
    """Records how each trial goes and ends, logs a line at its end, keeps the best model alone."""

    def __init__(self, trials: Trials, shared: Shared) -> None:
        self.trials = trials
        self.shared = shared
        self.config = shared.config
        self.start = time.monotonic()
        self.began: dict[int, float] = {}
        self.with_checkpoint: set[int] = set()
        # Trials whose files are to be removed, and since when: an earlier driver's at once.
        self.ended = {record.number: 0.0 for record in trials.all() if record.is_over}
        self.over_before = len(self.ended)

    def started(self, number: int, point: Point) -> None:
        """Record that a trial is about to begin, or to begin again."""
        self.began[number] = time.monotonic()
        self.trials.write(self.trials.known.get(number) or TrialRecord(number, point))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        number = int(trial.config["number"])
        if FAILED in result:
            self.trials.change(number, reason=str(result[FAILED]))
            return
        if DONE in result:
            self.with_checkpoint.add(number)
            return
        metrics = {}
        for name, value in result.items():
            if name.startswith(self.config.training.select_by):
                metrics[name] = value
        measured = Measured(int(result[EXAMPLES]), float(result[OBJECTIVE]), metrics)

        before = self.trials.known[number].course
        if measured in before:
            return  # a trial reports its course once more at its end
        others = [reached for reached in before if reached.examples != measured.examples]
        course = sorted([*others, measured], key=lambda reached: reached.examples)
        self.trials.change(number, course=tuple(course))
        logger.info(
            tr(
                "trial {number}: dev score {score:.4f} at {seen:,} of {examples:,} examples",
                number=number,
                score=measured.objective,
                seen=measured.examples,
                examples=self.config.examples,
            )
        )

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        number = int(trial.config["number"])
        reason = self.trials.known[number].reason
        if reason:
            self._end(number, "failed", reason)
        else:
            self._end(number, "complete" if number in self.with_checkpoint else "stopped")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        # no message: it might hold a text
        reason = tr("its process died ({error})", error=type(trial.get_error()).__name__)
        self._end(int(trial.config["number"]), "failed", reason)

    def suspend(self) -> None:
        """Free what unfinished trials hold when the time of the search is up."""
        for record in self.trials.all():
            if not record.is_over:
                free_placement_group(run_folder(self._model(record.number)))
                logger.info(
                    tr(
                        "trial {number}: time limit reached; it resumes with the search",
                        number=record.number,
                    )
                )

    def clean(self, everything: bool = False) -> None:
        """Remove the files of trials that are over, except the best one's model."""
        best = self.trials.best()
        settled = time.monotonic() - _SETTLES_S
        for number, ended in list(self.ended.items()):
            is_best = best is not None and number == best.number
            if not is_best and (everything or ended <= settled):
                remove_run(run_folder(self._model(number)))
                storage.delete_folder(self._model(number))
                del self.ended[number]

    def _end(self, number: int, state: State, reason: str = "") -> None:
        now = time.monotonic()
        seconds = round(now - self.began[number], 1)
        record = self.trials.change(number, state=state, reason=reason, seconds=seconds)
        self.ended[number] = now
        if state != "complete":
            free_placement_group(run_folder(self._model(number)))
        logger.info("%s", self._describe(record))
        self.clean()

    def _model(self, number: int) -> str:
        return model_place(self.trials.output, number)

    def _describe(self, record: TrialRecord) -> str:
        """Return "trial 3 (4 of 12): dev score ...; best 0.7 (trial 1); ETA 5 min"."""
        trials = self.config.trials
        over = self.trials.count_over()
        line = tr(
            "trial {number} ({over} of {trials}): {outcome}",
            number=record.number,
            over=over,
            trials=trials,
            outcome=describe(record, self.config.examples),
        )
        best = self.trials.best()
        if best:
            line += tr("; best {score:.4f} (trial {number})", score=best.score, number=best.number)
        if over < trials:
            each_s = (time.monotonic() - self.start) / max(over - self.over_before, 1)
            line += tr("; ETA {minutes:.0f} min", minutes=each_s * (trials - over) / 60)
        return line

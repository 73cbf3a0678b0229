"""What happens in the driver while trials run: records, a line for each trial, room on the disk."""

import logging
import time
from typing import Any

from ray.tune import Callback

from medembed import storage
from medembed.training.run.private_ray_train import free_placement_group
from medembed.training.run.run_folder import remove_run, run_folder
from medembed.tuning.records import MODEL, Measured, Record, Records, describe
from medembed.tuning.space import Point
from medembed.tuning.trial import DONE, EXAMPLES, FAILED, OBJECTIVE, Shared

logger = logging.getLogger(__name__)
_SETTLES_S = 30.0  # after which no worker of a stopped trial writes any more


class Follow(Callback):
    """Writes down each trial's course and end, logs a line at its end, and keeps no model but the
    best.
    """

    def __init__(self, records: Records, shared: Shared) -> None:
        self.records, self.shared, self.config = records, shared, shared.config
        self.began: dict[int, float] = {}
        self.start, self.first = (
            time.monotonic(),
            len([record for record in records.all() if record.is_over]),
        )
        self.done: set[int] = set()  # trials that have a checkpoint
        # Trials whose files are to be removed, and since when; what an earlier driver left of them
        # is as good as gone.
        self.ended = {one.number: 0.0 for one in records.all() if one.is_over}

    def started(self, number: int, point: Point) -> None:
        """A trial is about to begin, or to begin again."""
        self.began[number] = time.monotonic()
        known = self.records.known.get(number)
        self.records.write(known or Record(number, point))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        number = int(trial.config["number"])
        if FAILED in result:
            self.records.change(number, reason=str(result[FAILED]))
            return
        if DONE in result:
            self.done.add(number)
            return
        metrics = {
            name: value
            for name, value in result.items()
            if name.startswith(self.config.training.select_by)
        }
        measured = Measured(int(result[EXAMPLES]), float(result[OBJECTIVE]), metrics)
        known = {one.examples: one for one in self.records.known[number].course}
        if known.get(measured.examples) == measured:
            return  # told once more
        course = known | {measured.examples: measured}
        self.records.change(number, course=tuple(course[examples] for examples in sorted(course)))
        logger.info(
            "trial %d: dev score %.4f at %s of %s examples",
            number,
            measured.objective,
            f"{measured.examples:,}",
            f"{self.config.examples:,}",
        )

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        number = int(trial.config["number"])
        record = self.records.known[number]
        if record.reason:
            self._end(number, "failed", reason=record.reason)
        elif number in self.done:
            self._end(number, "complete")
        else:
            self._end(number, "stopped")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        # no message: it might hold a text
        reason = f"its process died ({type(trial.get_error()).__name__})"
        self._end(int(trial.config["number"]), "failed", reason=reason)

    def suspend(self) -> None:
        """Frees what trials hold that are not over when the search ends, because its time is up."""
        for record in self.records.all():
            if not record.is_over:
                self._free(record.number)
                logger.info("trial %d: time is up; it goes on where the search does", record.number)

    def clean(self, everything: bool = False) -> None:
        """Removes what trials left that are over, but for the best one's model."""
        best, now = self.records.best(), time.monotonic()
        for number, ended in list(self.ended.items()):
            if (best is not None and number == best.number) or (
                now - ended < _SETTLES_S and not everything
            ):
                continue
            model = self._model(number)
            remove_run(run_folder(model))
            storage.delete_folder(model)
            del self.ended[number]

    def _end(self, number: int, state: Any, reason: str = "") -> None:
        seconds = time.monotonic() - self.began[number]
        record = self.records.change(number, state=state, reason=reason, seconds=round(seconds, 1))
        self.ended[number] = time.monotonic()
        if state != "complete":
            self._free(number)
        logger.info("%s", self._describe(record))
        self.clean()

    def _model(self, number: int) -> str:
        return storage.join(self.records.folder(number), MODEL)

    def _free(self, number: int) -> None:
        free_placement_group(run_folder(self._model(number)))

    def _describe(self, record: Record) -> str:
        done = len([one for one in self.records.all() if one.is_over])
        left = self.config.trials - done
        each = (time.monotonic() - self.start) / max(done - self.first, 1)
        best = self.records.best()
        parts = [
            f"trial {record.number} ({done} of {self.config.trials}): "
            f"{describe(record, self.config.examples)}"
        ]
        parts += [f"best {best.score:.4f} (trial {best.number})"] if best else []
        parts += [f"ETA {each * left / 60:.0f} min"] if left else []
        return "; ".join(parts)

"""Tells Ray Tune how a trial's training goes. Imported in the trial alone: it needs Ray."""

from typing import Any

from ray.tune.integration.ray_train import TuneReportCallback

from medembed.tuning.trial import EXAMPLES, OBJECTIVE


class TellTune(TuneReportCallback):
    """Tells Ray Tune of each measurement, not of other checkpoints."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any
    ) -> None:
        found = metrics[0]
        if "score" in found:
            told = {name: value for name, value in found.items() if "/" in name}
            told |= {OBJECTIVE: found["score"], EXAMPLES: found["step"] * self.rows}
            super().after_report(run_context, [told], None)

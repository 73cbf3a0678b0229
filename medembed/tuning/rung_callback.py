"""Report each measurement of a trial's training to Ray Tune. Needs Ray: only trials import it."""

from typing import Any

from ray.tune.integration.ray_train import TuneReportCallback

from medembed.tuning.trials import EXAMPLES, OBJECTIVE


class RungCallback(TuneReportCallback):
    """Reports measurements, and no other checkpoints; a step reads `rows` examples."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any
    ) -> None:
        reported = metrics[0]
        if "score" in reported:
            measured = {name: value for name, value in reported.items() if "/" in name}
            measured[OBJECTIVE] = reported["score"]
            measured[EXAMPLES] = reported["step"] * self.rows
            super().after_report(run_context, [measured], None)

"""What runs beside Ray Train's controller, which starts the workers and counts the checkpoints."""

from typing import Any

from ray.train import UserCallback

from medembed import storage
from medembed.training.run import SNAPSHOT, WHOLE_SNAPSHOT


class KeepWholeSnapshot(UserCallback):
    """Copies Ray Train's list of checkpoints, whole or not at all, each time that it has written it."""

    def __init__(self, run: str) -> None:
        self.run = run

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        whole = storage.read_bytes(storage.join(self.run, SNAPSHOT))
        storage.write_bytes(storage.join(self.run, WHOLE_SNAPSHOT), whole)

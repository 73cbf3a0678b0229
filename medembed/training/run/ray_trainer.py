"""What runs beside Ray Train's controller, which starts the workers and counts the checkpoints."""

from typing import Any

from ray.train import UserCallback
from ray.train.torch import TorchTrainer

from medembed import storage
from medembed.training.run.run_folder import SNAPSHOT, WHOLE_SNAPSHOT


class Trainer(TorchTrainer):
    """A trainer without two processes of Ray Train, each two seconds of CPU time.

    One is for data sets: workers read files themselves. The other waits for its controller's death
    to free what the workers held. It asks Ray's dashboard for that, so it does nothing in a job's
    private Ray, which has none and ends with the job, and of a stopped trial it would stay for the
    rest of the search: `held` frees what a trial held.
    """

    unused = frozenset({"DatasetsCallback", "PlacementGroupCleanerCallback"})

    def _create_default_callbacks(self) -> list[Any]:
        return [
            each
            for each in super()._create_default_callbacks()
            if type(each).__name__ not in self.unused
        ]


class ClusterTrainer(Trainer):
    """A trainer on a Ray that outlives it: with the process that frees what workers held."""

    unused = frozenset({"DatasetsCallback"})


class KeepWholeSnapshot(UserCallback):
    """Copies Ray Train's list of checkpoints, whole or not at all, each time that it has written
    it.
    """

    def __init__(self, run: str) -> None:
        self.run = run

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any
    ) -> None:
        whole = storage.read_bytes(storage.join(self.run, SNAPSHOT))
        storage.write_bytes(storage.join(self.run, WHOLE_SNAPSHOT), whole)

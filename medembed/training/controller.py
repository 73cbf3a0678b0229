"""What runs beside Ray Train's controller, which starts the workers and counts the checkpoints."""

from typing import Any

from ray.train import UserCallback
from ray.train.torch import TorchTrainer

from medembed import storage
from medembed.training.run import SNAPSHOT, WHOLE_SNAPSHOT


class Trainer(TorchTrainer):
    """A trainer without Ray Train's process for data sets, two seconds of CPU time: workers read files themselves."""

    unused = frozenset({"DatasetsCallback"})

    def _create_default_callbacks(self) -> list[Any]:
        return [each for each in super()._create_default_callbacks() if type(each).__name__ not in self.unused]


class TrialTrainer(Trainer):
    """A trainer without Ray Train's process that waits for its controller's death to free what the workers held, too.

    It asks Ray's dashboard for that, and where there is none each stopped trial would leave one for the rest of the
    search. `held` frees what a trial held.
    """

    unused = Trainer.unused | {"PlacementGroupCleanerCallback"}


class KeepWholeSnapshot(UserCallback):
    """Copies Ray Train's list of checkpoints, whole or not at all, each time that it has written it."""

    def __init__(self, run: str) -> None:
        self.run = run

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        whole = storage.read_bytes(storage.join(self.run, SNAPSHOT))
        storage.write_bytes(storage.join(self.run, WHOLE_SNAPSHOT), whole)

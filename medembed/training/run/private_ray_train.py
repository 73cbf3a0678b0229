"""Use what Ray Train keeps private: its list of checkpoints, its cleaner, its placement groups.

Ray has no public way for these (seen in Ray 2.60), and without them a death costs a run:
- Ray Train writes its list of checkpoints in place. A crash meanwhile leaves a torn file, with
  which no run goes on. So a whole copy is kept beside it.
- Ray Train starts a process that frees the workers' placement group when its controller dies. It
  asks Ray's dashboard for that. A private Ray has none, and there, as after a stopped trial, the
  process would stay for the rest of the job. So a trial's workers write down their group, and what
  follows a dead trial frees it.
tests/training/test_private_parts.py fails when one of these moves.
"""

import json
import logging
from typing import Any, NamedTuple

from ray import PlacementGroupID
from ray.train import UserCallback
from ray.train.torch import TorchTrainer
from ray.util import get_current_placement_group
from ray.util.placement_group import PlacementGroup, remove_placement_group

from medembed import storage
from medembed.language import tr

logger = logging.getLogger(__name__)

SNAPSHOT = "checkpoint_manager_snapshot.json"
WHOLE_SNAPSHOT = "last_whole_snapshot.json"
PLACEMENT_GROUP = "placement_group"


class TrainerWithoutCleaner(TorchTrainer):
    """A trainer without the process that frees what the workers of a dead controller held."""

    def _create_default_callbacks(self) -> list[Any]:
        return [
            callback
            for callback in super()._create_default_callbacks()
            if type(callback).__name__ != "PlacementGroupCleanerCallback"
        ]


class KeepWholeSnapshot(UserCallback):
    """Copies Ray Train's list of checkpoints, whole or not at all, after it was written."""

    def __init__(self, run: str) -> None:
        self.run = run

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any
    ) -> None:
        snapshot = storage.read_bytes(storage.join(self.run, SNAPSHOT))
        storage.write_bytes(storage.join(self.run, WHOLE_SNAPSHOT), snapshot)


def mend_snapshot(run: str) -> None:
    """Replace a list of checkpoints that Ray Train died while writing by the last whole one.

    What the list names is there: Ray Train removes a checkpoint only after it has written the list
    without it.
    """
    path = storage.join(run, SNAPSHOT)
    whole = storage.join(run, WHOLE_SNAPSHOT)
    if not storage.exists(path):
        return
    try:
        json.loads(storage.read_bytes(path))
        return
    except ValueError:
        logger.warning(
            tr(
                "{path}: incomplete after a crash; the list of checkpoints before it counts",
                path=path,
            )
        )
    if storage.exists(whole):
        storage.write_bytes(path, storage.read_bytes(whole))
    else:
        storage.delete_file(path)


class LatestCheckpoint(NamedTuple):
    """The last checkpoint that a run reported: its folder, and its step."""

    uri: str
    step: int


def latest_checkpoint(run: str) -> LatestCheckpoint | None:
    """Return the last checkpoint that a run reported; None if it has none."""
    path = storage.join(run, SNAPSHOT)
    if not storage.exists(path):
        return None
    latest = json.loads(storage.read_bytes(path))["latest_checkpoint_result"]
    if latest is None:
        return None
    uri = storage.join(run, latest["checkpoint_dir_name"])
    return LatestCheckpoint(uri, int(latest["metrics"]["step"]))


def note_placement_group(run: str) -> None:
    """In a worker: write its placement group into the run's folder."""
    group = get_current_placement_group()
    if group is not None:
        storage.write_bytes(storage.join(run, PLACEMENT_GROUP), group.id.hex().encode())


def free_placement_group(run: str) -> None:
    """Free what the run's last workers held and end them; harmless where they are gone."""
    path = storage.join(run, PLACEMENT_GROUP)
    if storage.exists(path):
        name = storage.read_bytes(path).decode()
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(name))))
        storage.delete_file(path)

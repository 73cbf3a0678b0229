"""A trained model on storage, and how a run's best checkpoint becomes one: without what only the
trainer reads.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from medembed import storage
from medembed.artifact import NewOutput
from medembed.lineage import CheckpointManifest
from medembed.training.config import TrainingConfig
from medembed.training.model.adapters import ADAPTER_STATE
from medembed.training.record.history import TRAINER_STATE, Entry, clean_history
from medembed.training.record.progress_state import FILE as TRAINING_STATE

# What a trainer keeps beside the model to resume from: pickles, and of no use to whoever loads it.
_TRAINING_STATE = (
    "optimizer",
    "scheduler",
    "rng_state",
    "scaler",
    "training_args",
    ".metadata",
    TRAINER_STATE,
    TRAINING_STATE,
    ADAPTER_STATE,
)


@dataclass(frozen=True)
class Checkpoint:
    """A trained model on storage: a stock sentence-transformers folder with our card and a
    manifest.
    """

    uri: str
    manifest: CheckpointManifest

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    def describe_score(self) -> str:
        """ "step 120, dev score 0.8123"."""
        return f"step {self.manifest.step:,}, dev score {self.manifest.score:.4f}"

    def read(self, *names: str) -> dict[str, bytes]:
        """{file name: content} of those of these files that it has."""
        found = [name for name in names if name in self.manifest.files]
        return {name: storage.read_bytes(storage.join(self.uri, name)) for name in found}


def read_history(checkpoint: Any) -> list[Entry]:
    """What the trainer logged up to a Ray Train checkpoint; the last one knows the whole run."""
    with checkpoint.filesystem.open_input_stream(f"{checkpoint.path}/{TRAINER_STATE}") as file:
        return clean_history(json.loads(file.read())["log_history"])


def download_model(best: Any, folder: Path) -> None:
    """A Ray Train checkpoint's model into a local folder."""
    pafs.copy_files(best.path, str(folder), source_filesystem=best.filesystem)
    for path in folder.iterdir():
        if path.name.startswith(_TRAINING_STATE):
            path.unlink()


def publish(
    folder: Path, output: str, key: str, manifest: CheckpointManifest, config: TrainingConfig
) -> Checkpoint:
    """The files of a folder as the checkpoint at `output`, whose manifest has the config too."""
    with NewOutput(output, key) as target:
        write_folder(target, folder)
        return Checkpoint(output, target.commit(replace(manifest, config=config.model_dump())))


def write_folder(target: NewOutput, folder: Path) -> None:
    """All files of a local folder, under the same names."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target.write_bytes(str(path.relative_to(folder)), path.read_bytes())

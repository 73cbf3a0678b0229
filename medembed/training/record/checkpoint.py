"""Publish a run's best checkpoint: the model's files, and none of the trainer's."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from medembed import storage
from medembed.artifact import NewOutput
from medembed.language import tr
from medembed.lineage import CheckpointManifest
from medembed.training.config import TrainingConfig
from medembed.training.record.history import TRAINER_STATE, Entry, clean_history

# Names of the files that sentence-transformers wrote. The trainer keeps others beside them to
# resume from: pickles, and of no use to whoever loads the model.
MODEL_FILES = "model_files.json"
DEV_VALUES = "dev_values.json"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model on storage: a stock folder with our card and a manifest."""

    uri: str
    manifest: CheckpointManifest

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    def describe_score(self) -> str:
        """Return "step 120, dev score 0.8123"."""
        step = self.manifest.step
        return tr("step {step:,}, dev score {score:.4f}", step=step, score=self.manifest.score)

    def read(self, *names: str) -> dict[str, bytes]:
        """Return {file name: content} of those of these files that it has."""
        return {
            name: storage.read_bytes(storage.join(self.uri, name))
            for name in names
            if name in self.manifest.files
        }


def read_history(checkpoint: Any) -> list[Entry]:
    """Return what the trainer logged up to a Ray Train checkpoint."""
    with checkpoint.filesystem.open_input_stream(f"{checkpoint.path}/{TRAINER_STATE}") as file:
        return clean_history(json.loads(file.read())["log_history"])


def list_model_files(folder: Path) -> None:
    """Write the names of a folder's files into it; it has only a model yet."""
    names = [str(path.relative_to(folder)) for path in _files(folder)]
    (folder / MODEL_FILES).write_text(json.dumps(names))


def download_model(best: Any, folder: Path) -> None:
    """Copy a Ray Train checkpoint's model and its dev scores into a local folder."""
    with best.filesystem.open_input_stream(f"{best.path}/{MODEL_FILES}") as file:
        names = json.loads(file.read())
    for name in [*names, DEV_VALUES]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source = f"{best.path}/{name}"
        pafs.copy_files(source, str(folder / name), source_filesystem=best.filesystem)


def publish(
    folder: Path, output: str, key: str, manifest: CheckpointManifest, config: TrainingConfig
) -> Checkpoint:
    """Write a folder's files as the checkpoint at `output`, whose manifest has the config too."""
    with NewOutput(output, key) as target:
        write_folder(target, folder)
        return Checkpoint(output, target.commit(replace(manifest, config=config.model_dump())))


def write_folder(target: NewOutput, folder: Path) -> None:
    """Write all files of a local folder, under the same names."""
    for path in _files(folder):
        target.write_bytes(str(path.relative_to(folder)), path.read_bytes())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())

"""The folder of an unfinished training: whose it is, Ray Train's state, and that a torn state does
not end it.

It lies beside the output, `<output>.run`, and goes when the output is there.
"""

import json
import logging
from typing import Any

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.errors import StorageError, TrainingError

logger = logging.getLogger(__name__)

FILE = "run.json"
# Ray Train's list of checkpoints, which it writes in place
SNAPSHOT = "checkpoint_manager_snapshot.json"
WHOLE_SNAPSHOT = "last_whole_snapshot.json"


def run_folder(output: str) -> str:
    """Where the unfinished training of an output lies."""
    return f"{output.rstrip('/')}.run"


def claim_run(run: str, key: str, inputs: dict[str, Any], attempt: str) -> bool:
    """Makes the run's folder this attempt's; whether it was begun before, with the same key.

    `inputs` are told apart in the error's message: StorageError if another training's run, or
    anything else, is there.
    """
    there = read_run(run)
    if there is None and storage.exists(run):
        raise StorageError(
            f"{run}: expected nothing or an unfinished training; remove it, or choose a new output."
        )
    if there is not None and there["key"] != key:
        raise StorageError(
            f"{run}: an unfinished training of other inputs or another config "
            f"({_differences(there['inputs'], inputs)}); finish it with its own, choose a new "
            "output, or remove this folder to give it up."
        )
    claim = {"key": key, "inputs": inputs, "attempt": attempt}
    storage.write_bytes(storage.join(run, FILE), json.dumps(claim, indent=2).encode())
    return there is not None


def check_claim(run: str, attempt: str) -> None:
    """Raises TrainingError if another attempt has claimed the run: workers may outlive a killed
    driver for a minute.
    """
    claim = read_run(run)
    if claim is None or claim["attempt"] != attempt:
        raise TrainingError(f"{run}: another process goes on with this training; this one ends.")


def read_run(run: str) -> dict[str, Any] | None:
    """What `claim_run` wrote; None if it did not."""
    path = storage.join(run, FILE)
    if not storage.exists(path):
        return None
    try:
        return dict(json.loads(storage.read_bytes(path)))
    except ValueError:
        raise StorageError(
            f"{path}: not JSON; the file is damaged: remove the folder to train from the start."
        ) from None


def remove_run(run: str) -> None:
    """Removes a run's folder, its claim last, so that one that was half removed is known still."""
    if read_run(run) is None:
        return
    # A start without its manifest is none: half of one must not be taken for whole.
    for name in sorted(storage.list_files(run), key=lambda name: not name.endswith(f"/{MANIFEST}")):
        if name != FILE:
            storage.delete_file(storage.join(run, name))
    storage.delete_folder(run)


def mend_snapshot(run: str) -> None:
    """Puts the last whole list of checkpoints in the place of one that Ray Train died while
    writing.

    What the list names is there: Ray Train removes a checkpoint only after it has written the list
    without it.
    """
    path, whole = storage.join(run, SNAPSHOT), storage.join(run, WHOLE_SNAPSHOT)
    if not storage.exists(path):
        return
    try:
        json.loads(storage.read_bytes(path))
        return
    except ValueError:
        logger.warning("%s: torn by a crash; going on from the list of checkpoints before it", path)
    if storage.exists(whole):
        storage.write_bytes(path, storage.read_bytes(whole))
    else:
        storage.delete_file(path)


def latest_checkpoint(run: str) -> tuple[str, int] | None:
    """(folder, step) of the last checkpoint that a run reported; None if it has none."""
    path = storage.join(run, SNAPSHOT)
    latest = (
        json.loads(storage.read_bytes(path))["latest_checkpoint_result"]
        if storage.exists(path)
        else None
    )
    return latest and (
        storage.join(run, latest["checkpoint_dir_name"]),
        int(latest["metrics"]["step"]),
    )


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Which inputs or config keys differ: "learning_rate: 0.0001 there, 0.0002 here"."""
    before, now = _flatten(there), _flatten(here)
    differing = [name for name in now if before.get(name) != now[name]] + [
        name for name in before if name not in now
    ]
    return "; ".join(
        f"{name}: {before.get(name)} there, {now.get(name)} here" for name in differing
    )


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """{"training.loss.name": value, ...}, as JSON has it; tuples become lists."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(values)).items():
        inner = _flatten(value) if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{key}".rstrip("."): one for key, one in inner.items()}
    return flat

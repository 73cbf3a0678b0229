"""Claim the folder of an unfinished training: whose it is, and that no other one writes there.

It lies beside the output, `<output>.run`, and goes when the output is there.
"""

import json
from typing import Any

from medembed import storage
from medembed.artifact import MANIFEST
from medembed.errors import StorageError, TrainingError
from medembed.language import tr

FILE = "run.json"


def run_folder(output: str) -> str:
    """Return where the unfinished training of an output lies."""
    return f"{output.rstrip('/')}.run"


def claim_run(run: str, key: str, inputs: dict[str, Any], attempt: str) -> bool:
    """Make the run's folder this attempt's; return whether it was begun before, with the same key.

    Raises StorageError if another training's run, or anything else, is there; `inputs` are what
    the message compares.
    """
    claim = read_run(run)
    if claim is None and storage.exists(run):
        raise StorageError(
            "{run}: expected nothing or an unfinished training; remove it, or choose a new output.",
            run=run,
        )
    if claim is not None and claim["key"] != key:
        raise StorageError(
            "{run}: an unfinished training of other inputs or another config "
            "({differences}); finish it with its own, choose a new output, or remove this "
            "folder to give it up.",
            run=run,
            differences=_differences(claim["inputs"], inputs),
        )
    own = {"key": key, "inputs": inputs, "attempt": attempt}
    storage.write_bytes(storage.join(run, FILE), json.dumps(own, indent=2).encode())
    return claim is not None


def check_claim(run: str, attempt: str) -> None:
    """Raise TrainingError if another attempt has claimed the run.

    Workers may outlive a killed driver for a minute.
    """
    claim = read_run(run)
    if claim is None or claim["attempt"] != attempt:
        raise TrainingError(
            "{run}: another process goes on with this training; this one ends.", run=run
        )


def read_run(run: str) -> dict[str, Any] | None:
    """Return what `claim_run` wrote; None if it did not."""
    path = storage.join(run, FILE)
    if not storage.exists(path):
        return None
    try:
        return dict(json.loads(storage.read_bytes(path)))
    except ValueError:
        raise StorageError(
            "{path}: not JSON; the file is damaged: remove the folder to train from the start.",
            path=path,
        ) from None


def remove_run(run: str) -> None:
    """Remove a run's folder, its claim last, so that one that was half removed is known still."""
    if read_run(run) is None:
        return
    # A start without its manifest is none: half of one must not be taken for whole.
    for name in sorted(storage.list_files(run), key=lambda name: not name.endswith(f"/{MANIFEST}")):
        if name != FILE:
            storage.delete_file(storage.join(run, name))
    storage.delete_folder(run)


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Return which inputs or config keys differ: "learning_rate: 0.0001 there, 0.0002 here"."""
    old = _flatten(there)
    new = _flatten(here)
    return "; ".join(
        tr("{key}: {old} there, {new} here", key=key, old=old.get(key), new=new.get(key))
        for key in {**new, **old}
        if old.get(key) != new.get(key)
    )


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Return {"training.loss.name": value, ...}, as JSON has it; tuples become lists."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(values)).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in _flatten(value).items()}
        else:
            flat[name] = value
    return flat

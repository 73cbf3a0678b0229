"""Keep what a run logged: loss and learning rate of its steps, dev metrics of its checkpoints.

It travels in each checkpoint's trainer_state.json, so that a run that was interrupted keeps what it
logged before.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TRAINER_STATE = "trainer_state.json"
DEV = "dev_"  # names of a checkpoint's dev metrics begin so
ELSEWHERE = "elsewhere/"  # and those of retention sets so
SCORE = "score"  # what checkpoints are chosen by
SHARE = "average"  # the weight of what was trained in the average that was measured
_MEASURED = (DEV, ELSEWHERE, SCORE, SHARE)  # names of what was measured begin so
_MOST_STEPS = 1000  # entries kept for the steps of a run: a picture shows no more
_STEP_SERIES = ("loss", "learning_rate", "grad_norm")

Entry = dict[str, float]


def record_dev(state: Any, folder: Path, metrics: Mapping[str, float]) -> None:
    """Add what was measured to the trainer's state at this step, in memory and in its checkpoint.

    metrics: "score", "average", "ndcg@10/64" of the dev sample, and "elsewhere/<set>/64" of
    retention sets.
    """
    if not metrics:
        return
    named = {_name(name): value for name, value in metrics.items()}
    state.log_history.append({"step": state.global_step, **named})
    state.save_to_json(str(folder / TRAINER_STATE))


def _name(metric: str) -> str:
    return metric if metric.startswith((ELSEWHERE, SCORE, SHARE)) else DEV + metric


def clean_history(logged: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Return an entry per step with what is worth a curve; of a step that was run twice the later.

    At most about 1,000 steps are kept: means of neighbours stand for them. Entries with dev metrics
    all stay.
    """
    steps: dict[int, Entry] = {}
    dev: dict[int, Entry] = {}
    for entry in logged:
        step = int(entry["step"])
        measured = {
            name: float(value) for name, value in entry.items() if name.startswith(_MEASURED)
        }
        values = {name: float(value) for name, value in entry.items() if _is_series(name, value)}
        if measured:
            dev[step] = measured
        elif "loss" in values:
            steps[step] = values
    rows = _thin([{"step": float(step), **values} for step, values in sorted(steps.items())])
    rows += [{"step": float(step), **values} for step, values in dev.items()]
    return sorted(rows, key=lambda row: row["step"])


def series(history: Sequence[Entry], name: str) -> tuple[list[float], list[float]]:
    """Return (steps, values) of one logged quantity."""
    entries = [entry for entry in history if name in entry]
    return [entry["step"] for entry in entries], [entry[name] for entry in entries]


def loss_names(history: Sequence[Entry]) -> list[str]:
    """Return the names of losses per dimension, as loss/<dimension>, widest first."""
    return _names(history, "loss/")


def dev_names(history: Sequence[Entry]) -> list[str]:
    """Return the names of dev metrics, as dev_<metric>/<dimension>, widest first."""
    return _names(history, DEV)


def _names(history: Sequence[Entry], prefix: str) -> list[str]:
    names = {name for name in set().union(*history) if name.startswith(prefix)}
    return sorted(names, key=_number, reverse=True)


def _is_series(name: str, value: Any) -> bool:
    return isinstance(value, int | float) and (name in _STEP_SERIES or name.startswith("loss/"))


def _number(name: str) -> int:
    end = name.rpartition("/")[2]
    return int(end) if end.isdigit() else 0


def _thin(rows: list[Entry]) -> list[Entry]:
    if len(rows) <= _MOST_STEPS:
        return rows
    size = -(-len(rows) // _MOST_STEPS)
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [_mean(group) for group in groups]


def _mean(group: list[Entry]) -> Entry:
    """Return each name's mean over the entries that have it, at the last one's step."""
    values: dict[str, list[float]] = {}
    for row in group:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    means = {name: sum(of_name) / len(of_name) for name, of_name in values.items()}
    return means | {"step": group[-1]["step"]}

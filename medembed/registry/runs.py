"""A run as a value: read from one MLflow, written to another, with every parameter, metric, tag and
artifact.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medembed.errors import ServiceError, first_line
from medembed.privacy import without_passwords
from medembed.registry.connect import pages
from medembed.registry.models import Registry
from medembed.tags import OF_MODELS, Lineage


def read_run(registry: Registry, run_id: str) -> dict[str, Any]:
    """Return a run as JSON has it.

    It has params, metrics [[name, value, ms, step]], tags, name, status, start and end in ms.
    """
    metrics = []
    with _explained(run_id):
        run = registry.client.get_run(run_id)
        for name in sorted(run.data.metrics):
            for metric in registry.client.get_metric_history(run_id, name):
                metrics.append([metric.key, metric.value, metric.timestamp, metric.step])
    return {
        "run_id": run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "start": run.info.start_time,
        "end": run.info.end_time,
        "params": dict(run.data.params),
        "metrics": metrics,
        "tags": dict(run.data.tags),
    }


def model_runs(registry: Registry) -> dict[str, Lineage]:
    """Return {id: lineage} of every run that made or measured a model of ours, newest first.

    It may be of any experiment.
    """
    client = registry.client
    experiments = [entry.experiment_id for entry in pages(client.search_experiments)]
    runs = pages(client.search_runs, experiment_ids=experiments, filter_string=OF_MODELS)
    return {str(run.info.run_id): Lineage.from_tags(run.data.tags) for run in runs}


def list_artifacts(registry: Registry, run_id: str, folder: str = "") -> Iterator[str]:
    """Yield the paths of all files that a run has."""
    with _explained(run_id):
        entries = registry.client.list_artifacts(run_id, folder or None)
    for entry in entries:
        if entry.is_dir:
            yield from list_artifacts(registry, run_id, entry.path)
        else:
            yield str(entry.path)


def read_artifact(registry: Registry, run_id: str, path: str) -> bytes:
    """Return a file of a run."""
    with tempfile.TemporaryDirectory() as folder, _explained(run_id):
        return Path(registry.client.download_artifacts(run_id, path, folder)).read_bytes()


def find_artifact(registry: Registry, run_id: str, path: str) -> bytes | None:
    """Return a file of a run, None if it has none there."""
    if path not in list_artifacts(registry, run_id):
        return None
    return read_artifact(registry, run_id, path)


def write_run(
    registry: Registry,
    facts: Mapping[str, Any],
    tags: Mapping[str, str],
    artifacts: Mapping[str, bytes],
) -> str:
    """Write a run that was read elsewhere, with these tags, and return its id here.

    Found again if it is there; one that a death left half written is removed first.
    """
    experiment = registry.experiment_id()
    known = registry.client.search_runs([experiment], f"tags.restored_run = '{facts['run_id']}'")
    for run in known:
        if run.data.tags.get("restored") == "whole":
            return str(run.info.run_id)
        registry.client.delete_run(run.info.run_id)

    own_tags = {**tags, **Lineage(restored_run=facts["run_id"]).to_tags()}
    made = registry.client.create_run(
        experiment, start_time=facts["start"], run_name=facts["name"], tags=own_tags
    )
    run_id = str(made.info.run_id)
    registry.log_numbers(run_id, facts["metrics"], facts["params"])
    for path, content in artifacts.items():
        registry.write_artifact(run_id, path, content)
    registry.client.set_tag(run_id, "restored", "whole")
    registry.client.set_terminated(run_id, facts["status"], facts["end"])
    return run_id


@contextmanager
def _explained(run_id: str) -> Iterator[None]:
    """Turn MLflow's errors within the block into a ServiceError of one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise ServiceError(
            "MLflow run {run_id}: cannot be read: {reason}",
            run_id=run_id,
            reason=without_passwords(first_line(error)),
        ) from None

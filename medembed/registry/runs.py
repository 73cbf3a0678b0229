"""A run as a value: read from one MLflow, written to another, with every parameter, metric, tag and
artifact.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medembed.errors import ServiceError
from medembed.privacy import without_passwords
from medembed.registry.models import Registry
from medembed.tags import OF_MODELS, Lineage

_PER_BATCH = {"metrics": 1000, "params": 100}  # MLflow takes no more at once
_PER_PAGE = 200


def read_run(registry: Registry, run_id: str) -> dict[str, Any]:
    """A run as JSON has it: params, metrics [[name, value, ms, step]], tags, name, status, start
    and end in ms.
    """
    with _explained(run_id):
        run = registry.client.get_run(run_id)
        metrics = [
            [one.key, one.value, one.timestamp, one.step]
            for name in sorted(run.data.metrics)
            for one in registry.client.get_metric_history(run_id, name)
        ]
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
    """{id: lineage} of every run, of any experiment, that made or measured a model of ours, newest
    first.
    """
    experiments = [one.experiment_id for one in _pages(registry.client.search_experiments)]
    runs = _pages(registry.client.search_runs, experiment_ids=experiments, filter_string=OF_MODELS)
    return {str(run.info.run_id): Lineage.from_tags(run.data.tags) for run in runs}


def list_artifacts(registry: Registry, run_id: str, folder: str = "") -> Iterator[str]:
    """Paths of all files that a run has."""
    with _explained(run_id):
        found = registry.client.list_artifacts(run_id, folder or None)
    for one in found:
        if one.is_dir:
            yield from list_artifacts(registry, run_id, one.path)
        else:
            yield str(one.path)


def read_artifact(registry: Registry, run_id: str, path: str) -> bytes:
    """A file of a run."""
    with tempfile.TemporaryDirectory() as folder, _explained(run_id):
        return Path(registry.client.download_artifacts(run_id, path, folder)).read_bytes()


def find_artifact(registry: Registry, run_id: str, path: str) -> bytes | None:
    """A file of a run; None if it has none there."""
    return (
        read_artifact(registry, run_id, path) if path in list_artifacts(registry, run_id) else None
    )


def write_artifact(registry: Registry, run_id: str, path: str, content: bytes) -> None:
    """Gives a run a file; one of the same path is overwritten."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        file.write_bytes(content)
        inside = str(Path(path).parent)
        registry.client.log_artifact(run_id, str(file), None if inside == "." else inside)


def write_run(
    registry: Registry,
    facts: Mapping[str, Any],
    tags: Mapping[str, str],
    artifacts: Mapping[str, bytes],
) -> str:
    """Writes a run that was read elsewhere, with these tags; returns its id here.

    Found again if it is there; one that a death left half written is removed first.
    """
    experiment = registry.experiment_id()
    known = registry.client.search_runs([experiment], f"tags.restored_run = '{facts['run_id']}'")
    for run in known:
        if run.data.tags.get("restored") == "whole":
            return str(run.info.run_id)
        registry.client.delete_run(run.info.run_id)
    own = {**tags, **Lineage(restored_run=facts["run_id"]).to_tags()}
    made = registry.client.create_run(
        experiment, start_time=facts["start"], run_name=facts["name"], tags=own
    )
    run_id = str(made.info.run_id)
    _log(registry, run_id, facts)
    for path, content in artifacts.items():
        write_artifact(registry, run_id, path, content)
    registry.client.set_tag(run_id, "restored", "whole")
    registry.client.set_terminated(run_id, facts["status"], facts["end"])
    return run_id


def _pages(search: Callable[..., Any], **asked: Any) -> Iterator[Any]:
    """All that a search of MLflow finds, page by page."""
    token = None
    while True:
        page = search(max_results=_PER_PAGE, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _explained(run_id: str) -> Iterator[None]:
    """Turns MLflow's errors within the block into a ServiceError of one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ServiceError(
            without_passwords(f"MLflow run {run_id}: cannot be read: {reason}")
        ) from None


def _log(registry: Registry, run_id: str, facts: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    entries = {
        "metrics": [Metric(*one) for one in facts["metrics"]],
        "params": [Param(name, value) for name, value in facts["params"].items()],
    }
    for kind, found in entries.items():
        for start in range(0, len(found), _PER_BATCH[kind]):
            registry.client.log_batch(run_id, **{kind: found[start : start + _PER_BATCH[kind]]})

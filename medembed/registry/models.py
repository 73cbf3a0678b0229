"""Runs, registered models and aliases in MLflow. Only the driver writes here."""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.errors import ServiceError, first_line
from medembed.privacy import without_passwords
from medembed.registry.config import RegistryConfig
from medembed.registry.connect import SQLITE, connect, pages
from medembed.tags import Lineage

CHAMPION = "champion"
_METRIC_NAME = re.compile(r"[^\w.-]")  # MLflow takes no @
_PER_BATCH = 100  # MLflow takes no more parameters at once
_PLAIN = re.compile(r"[\w.:/@ -]*")  # what stands in a filter as it is


@dataclass(frozen=True)
class Version:
    """One registered version: the storage URI of its checkpoint and the run that made it."""

    name: str
    version: str
    source: str
    run_id: str
    tags: Mapping[str, str]

    @classmethod
    def of(cls, entry: Any) -> "Version":
        """Return the version that MLflow describes."""
        return cls(
            entry.name, str(entry.version), entry.source, entry.run_id or "", dict(entry.tags)
        )

    @property
    def lineage(self) -> Lineage:
        """What its tags say."""
        return Lineage.from_tags(self.tags)

    @property
    def reference(self) -> str:
        """models:/<name>/<version>."""
        return f"models:/{self.name}/{self.version}"


class Registry:
    """MLflow's tracking server and model registry, at `tracking_uri`."""

    def __init__(self, tracking_uri: str, config: RegistryConfig) -> None:
        if tracking_uri.startswith(SQLITE):
            tracking_uri = SQLITE + os.path.abspath(tracking_uri.removeprefix(SQLITE))
        self.tracking_uri = tracking_uri
        self.config = config
        self.client = connect(tracking_uri)

    def register(
        self,
        checkpoint: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        lineage: Lineage,
        artifacts: Mapping[str, str | bytes],
        history: Sequence[tuple[str, int, float]] = (),
    ) -> Version:
        """Log a run and register its checkpoint as a new version.

        `artifacts` are file names with their content. `lineage` is what both run and version say of
        themselves. `history` is (metric, step, value) of what was logged on the way.
        """
        name = self.config.model_name
        tags = lineage.to_tags()
        run_id = self.log_run(
            params=params, metrics=metrics, tags=tags, artifacts=artifacts, history=history
        )
        if not self.client.search_registered_models(filter_string=f"name = '{name}'"):
            self.client.create_registered_model(name)
        made = self.client.create_model_version(name, source=checkpoint, run_id=run_id, tags=tags)
        return Version(name, str(made.version), checkpoint, run_id, tags)

    def log_run(
        self,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Mapping[str, str | bytes],
        history: Sequence[tuple[str, int, float]] = (),
    ) -> str:
        """Log a finished run and return its id. `artifacts` and `history` are as in `register`."""
        run_id = str(self.client.create_run(self.experiment_id(), tags=dict(tags)).info.run_id)
        now = int(time.time() * 1000)
        points: list[tuple[str, float, int, int]] = []
        for name, value in metrics.items():
            points.append((_METRIC_NAME.sub("_", name), value, now, 0))
        for name, step, value in history:
            points.append((_METRIC_NAME.sub("_", name), value, now, step))
        self.log_numbers(run_id, points, params)
        for path, content in artifacts.items():
            self.write_artifact(run_id, path, content)
        self.client.set_terminated(run_id)
        return run_id

    def log_numbers(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int, int]],
        params: Mapping[str, Any],
    ) -> None:
        """Add metrics, each (name, value, milliseconds, step), and parameters to a run."""
        from mlflow.entities import Metric, Param

        points = list(starmap(Metric, metrics))
        settings = list(map(Param, params, map(str, params.values())))
        for start in range(0, max(len(points), len(settings)), _PER_BATCH):
            batch = slice(start, start + _PER_BATCH)
            self.client.log_batch(run_id, metrics=points[batch], params=settings[batch])

    def write_artifact(self, run_id: str, path: str, content: str | bytes) -> None:
        """Give a run a file, in place of one of the same path."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / Path(path).name
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            parent = str(Path(path).parent)
            self.client.log_artifact(run_id, str(file), None if parent == "." else parent)

    def find_run(self, tags: Mapping[str, str]) -> str | None:
        """Return the id of the newest finished run with these tags, if there is one."""
        return next(self.find_runs(tags), None)

    def find_runs(self, tags: Mapping[str, str]) -> Iterator[str]:
        """Yield the ids of all finished runs with these tags, newest first."""
        conditions = ["attributes.status = 'FINISHED'"]
        for key, value in tags.items():
            # MLflow's filters cannot quote a quote: other values are compared below.
            if _PLAIN.fullmatch(key + value):
                conditions.append(f"tags.`{key}` = '{value}'")
        runs = pages(
            self.client.search_runs,
            experiment_ids=[self.experiment_id()],
            filter_string=" and ".join(conditions),
        )
        for run in runs:
            if tags.items() <= run.data.tags.items():
                yield str(run.info.run_id)

    def check_output(self, output: str) -> None:
        """Raises ServiceError where a checkpoint at `output` could not be registered."""
        if storage.is_local(output) and self.tracking_uri.startswith("http"):
            raise ServiceError(
                "output: found local {output!r}, but an MLflow server refuses models on a "
                "client's disk; give s3:// or gs://, or leave registry.tracking_uri out.",
                output=output,
            )

    def set_alias(self, version: Version, alias: str = CHAMPION) -> None:
        """Point the alias at this version; whoever asks for the alias from now on gets it."""
        self.client.set_registered_model_alias(version.name, alias, version.version)

    def aliases(self, name: str) -> dict[str, str]:
        """Return {alias: version} of a registered model, empty if there is no such model."""
        models = self.client.search_registered_models(filter_string=f"name = '{name}'")
        if not models:
            return {}
        return {alias: str(version) for alias, version in models[0].aliases.items()}

    def resolve(self, reference: str) -> Version:
        """Return the version that models:/<name>@<alias> or models:/<name>/<version> names.

        Raises ServiceError if there is none.
        """
        from mlflow.exceptions import MlflowException

        path = reference.removeprefix("models:/").lstrip("/")
        name, at, alias = path.partition("@")
        name, _, number = name.partition("/")
        try:
            if at:
                entry = self.client.get_model_version_by_alias(name, alias)
            else:
                entry = self.client.get_model_version(name, number)
        except MlflowException as error:
            raise ServiceError(
                "{reference}: not in the registry at {registry}: {reason} Expected "
                "models:/<name>@<alias> or models:/<name>/<version>; train or promote a model "
                "first.",
                reference=reference,
                registry=without_passwords(self.tracking_uri),
                reason=first_line(error),
            ) from None
        return Version.of(entry)

    def experiment_id(self) -> str:
        """Return the experiment's id, and make the experiment if it is new.

        Beside a SQLite file its artifacts lie there too, never in ./mlruns.
        """
        experiment = self.client.get_experiment_by_name(self.config.experiment)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = None
        if self.tracking_uri.startswith(SQLITE):
            location = (Path(self.tracking_uri.removeprefix(SQLITE)).parent / "artifacts").as_uri()
        return str(
            self.client.create_experiment(self.config.experiment, artifact_location=location)
        )


def open_registry(config: RegistryConfig, *, on_cluster: bool) -> Registry:
    """Open what the config, MLFLOW_TRACKING_URI or, for local runs, the workspace names.

    Raises ServiceError if it cannot be used, or if a cluster job would get a file on one node's
    disk.
    """
    uri = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri and (on_cluster or not storage.is_local(config.workspace)):
        raise ServiceError(
            "no MLflow server: on a cluster, or with a workspace on an object store, a SQLite "
            "file cannot work; set MLFLOW_TRACKING_URI or registry.tracking_uri."
        )
    return Registry(uri or f"{SQLITE}{config.workspace}/mlflow/mlflow.db", config)


def resolve_model(reference: str, config: RegistryConfig, *, on_cluster: bool) -> str:
    """Return where a model lies, for any node: the folder behind models:/..., or an absolute path.

    Other references, such as hf://..., stay as they are.
    """
    if reference.startswith("models:/"):
        return open_registry(config, on_cluster=on_cluster).resolve(reference).source
    return storage.absolute(reference)

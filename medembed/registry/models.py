"""Runs, registered models and aliases in MLflow. Only the driver writes here."""

import fcntl
import logging
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.errors import ServiceError
from medembed.privacy import silence_telemetry, without_passwords
from medembed.registry.config import RegistryConfig
from medembed.tags import Lineage

CHAMPION = "champion"
_METRIC_NAME = re.compile(r"[^\w.-]")  # MLflow takes no @
_PER_BATCH = 100  # MLflow takes no more parameters at once
_RUNS_PER_PAGE = 100
_PLAIN = re.compile(r"[\w.:/@ -]*")  # what stands in a filter as it is
_SQLITE = "sqlite:///"
_HTTP_CAUSE = re.compile(r"\(Caused by \w+\([\"'](?:\w+\(.*?\): )?(.*?)[\"']\)\)")  # of requests
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True)
class Version:
    """One registered version: the storage URI of its checkpoint and the run that made it."""

    name: str
    version: str
    source: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def lineage(self) -> Lineage:
        """What its tags say."""
        return Lineage.from_tags(self.tags)


@dataclass(frozen=True)
class Listed:
    """A registered version, when it was made, and the metrics of its run, if it has one; those of
    the dev sample begin with dev_."""

    version: Version
    made: datetime
    metrics: Mapping[str, float]


class Registry:
    """MLflow's tracking server and model registry, at `tracking_uri`."""

    def __init__(self, tracking_uri: str, config: RegistryConfig) -> None:
        if tracking_uri.startswith(_SQLITE):
            tracking_uri = _SQLITE + os.path.abspath(tracking_uri.removeprefix(_SQLITE))
        self.tracking_uri, self.config = tracking_uri, config
        self.client = _connect(tracking_uri)

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
        """Logs a run and registers its checkpoint as a new version.

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
        """Logs a finished run; returns its id. `artifacts` and `history` as in `register`."""
        from mlflow.entities import Metric, Param

        run_id = str(self.client.create_run(self.experiment_id(), tags=dict(tags)).info.run_id)
        now = int(time.time() * 1000)
        numbers = [
            Metric(_METRIC_NAME.sub("_", key), number, now, 0) for key, number in metrics.items()
        ]
        numbers += [
            Metric(_METRIC_NAME.sub("_", key), number, now, step) for key, step, number in history
        ]
        settings = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, max(len(numbers), len(settings)), _PER_BATCH):
            batch = slice(start, start + _PER_BATCH)
            self.client.log_batch(run_id, metrics=numbers[batch], params=settings[batch])
        self.add_artifacts(run_id, artifacts)
        self.client.set_terminated(run_id)
        return run_id

    def add_artifacts(self, run_id: str, artifacts: Mapping[str, str | bytes]) -> None:
        """Logs files to a run that is there, in place of those with the same names."""
        for file, content in artifacts.items():
            self._log_artifact(run_id, file, content)

    def find_run(self, tags: Mapping[str, str]) -> str | None:
        """The id of the newest finished run with these tags, if there is one."""
        return next(self.find_runs(tags), None)

    def find_runs(self, tags: Mapping[str, str]) -> Iterator[str]:
        """The ids of all finished runs with these tags, newest first."""
        # MLflow's filters have no way to write a quote: values that are not plain are compared
        # here.
        plain = [
            f"tags.`{key}` = '{value}'"
            for key, value in tags.items()
            if _PLAIN.fullmatch(key + value)
        ]
        wanted = " and ".join([*plain, "attributes.status = 'FINISHED'"])
        experiment, token = self.experiment_id(), None
        while True:
            found = self.client.search_runs(
                [experiment], wanted, max_results=_RUNS_PER_PAGE, page_token=token
            )
            for run in found:
                if all(run.data.tags.get(key) == value for key, value in tags.items()):
                    yield str(run.info.run_id)
            token = found.token
            if not token:
                return

    def check_output(self, output: str) -> None:
        """Raises ServiceError where a checkpoint at `output` could not be registered."""
        if storage.is_local(output) and self.tracking_uri.startswith("http"):
            raise ServiceError(
                f"output: found local {output!r}, but an MLflow server refuses models on a "
                "client's disk; give s3:// or gs://, or leave registry.tracking_uri out."
            )

    def has_alias(self, alias: str = CHAMPION) -> bool:
        """Whether some version of the model bears the alias."""
        found = self.client.search_registered_models(
            filter_string=f"name = '{self.config.model_name}'"
        )
        return any(alias in entry.aliases for entry in found)

    def set_alias(self, version: Version, alias: str = CHAMPION) -> None:
        """Points the alias at this version; whoever asks for the alias from now on gets it."""
        self.client.set_registered_model_alias(version.name, alias, version.version)

    def aliases(self, name: str) -> dict[str, str]:
        """{alias: version} of a registered model; none if there is no such model."""
        found = self.client.search_registered_models(filter_string=f"name = '{name}'")
        return {alias: str(version) for entry in found for alias, version in entry.aliases.items()}

    def versions(self, name: str, count: int) -> list[Listed]:
        """The newest versions of a registered model, newest first, so many at most."""
        found = self.client.search_model_versions(
            f"name = '{name}'", order_by=["version_number DESC"], max_results=count
        )
        return [
            Listed(
                Version(
                    entry.name, str(entry.version), entry.source, entry.run_id or "", entry.tags
                ),
                datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
                self.client.get_run(entry.run_id).data.metrics if entry.run_id else {},
            )
            for entry in found
        ]

    def resolve(self, reference: str) -> Version:
        """The version behind models:/<name>@<alias> or models:/<name>/<version>. Raises
        ServiceError.
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
            reason = str(error).splitlines()[0]
            raise ServiceError(
                f"{reference}: not in the registry at {without_passwords(self.tracking_uri)}: "
                f"{reason} Expected models:/<name>@<alias> or models:/<name>/<version>; train or "
                "promote a model first."
            ) from None
        return Version(entry.name, str(entry.version), entry.source, entry.run_id, entry.tags)

    def experiment_id(self) -> str:
        """The experiment's id. Beside a SQLite file its artifacts lie there too, never in
        ./mlruns.
        """
        found = self.client.get_experiment_by_name(self.config.experiment)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self.tracking_uri.startswith(_SQLITE):
            location = (Path(self.tracking_uri.removeprefix(_SQLITE)).parent / "artifacts").as_uri()
        return str(
            self.client.create_experiment(self.config.experiment, artifact_location=location)
        )

    def _log_artifact(self, run_id: str, file: str, content: str | bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            self.client.log_artifact(run_id, str(path))


def open_registry(config: RegistryConfig, *, on_cluster: bool) -> Registry:
    """The registry that the config, MLFLOW_TRACKING_URI or, for local runs, the workspace names.

    Raises ServiceError if it cannot be used, or if a cluster job would get a file on one node's
    disk.
    """
    uri = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri and (on_cluster or not storage.is_local(config.workspace)):
        raise ServiceError(
            "no MLflow server: on a cluster, or with a workspace on an object store, a SQLite "
            "file cannot work; set MLFLOW_TRACKING_URI or registry.tracking_uri."
        )
    return Registry(uri or f"sqlite:///{config.workspace}/mlflow/mlflow.db", config)


def resolve_model(reference: str, config: RegistryConfig, *, on_cluster: bool) -> str:
    """The folder behind models:/..., which any node can load; a local path made absolute; others
    unchanged.
    """
    if reference.startswith("models:/"):
        return open_registry(config, on_cluster=on_cluster).resolve(reference).source
    return storage.absolute(reference)


def _connect(tracking_uri: str) -> Any:
    silence_telemetry()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of each new try
    try:
        if not tracking_uri.startswith(_SQLITE):
            client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            with _impatient():
                client.search_experiments(max_results=1)
            return client
        file = Path(tracking_uri.removeprefix(_SQLITE))
        file.parent.mkdir(parents=True, exist_ok=True)
        # Two processes that open an empty SQLite file together both migrate it, and break it.
        with open(f"{file}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _check_sqlite(file)
            client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
        return client
    except (MlflowException, SQLAlchemyError, OSError, sqlite3.Error, ImportError) as error:
        raise ServiceError(
            f"MLflow at {without_passwords(tracking_uri)}: cannot be used: {_first_line(error)} "
            "Give another registry.tracking_uri, or bring that one back: medembed restore makes "
            "one anew from a backup."
        ) from None


def _check_sqlite(file: Path) -> None:
    """Raises sqlite3.Error for what is no such file at all: MLflow would try for minutes to open
    it.
    """
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


def explain(error: BaseException) -> ServiceError | None:
    """What is wrong with MLflow, where that is what this error says: its server went away, or its
    file is damaged.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, MlflowException | SQLAlchemyError):
        return ServiceError(f"MLflow failed: {_first_line(error)}")
    return None


def _first_line(error: BaseException) -> str:
    line = without_passwords((str(error).strip().splitlines() or [type(error).__name__])[0])
    if cause := _HTTP_CAUSE.search(line):
        line = cause[1]
    return line if line.endswith(".") else f"{line}."


@contextmanager
def _impatient() -> Iterator[None]:
    """Has MLflow give up on a server that is not there after seconds: its own way takes minutes."""
    saved = {name: os.environ.get(name) for name in _IMPATIENT}
    os.environ |= {name: value for name, value in _IMPATIENT.items() if saved[name] is None}
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name)

"""Open MLflow at a URI, or say in one line why it cannot be used.

Why MLflow cannot be used stands in the texts of its errors, which no document promises; seen in
MLflow 3.17 with requests 2.34 and SQLAlchemy 2.1. `tests/registry/test_connect.py` fails when they
change.
"""

import fcntl
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from medembed.errors import ServiceError
from medembed.privacy import silence_telemetry, without_passwords

SQLITE = "sqlite:///"
_PER_PAGE = 200
_HTTP_CAUSE = re.compile(r"\(Caused by \w+\([\"'](?:\w+\(.*?\): )?(.*?)[\"']\)\)")  # of requests
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


def connect(tracking_uri: str) -> Any:
    """Return an `MlflowClient`. Raises ServiceError if nothing usable is at this URI."""
    silence_telemetry()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of each retry
    try:
        if tracking_uri.startswith(SQLITE):
            return _open_file(tracking_uri)
        return _open_server(tracking_uri)
    except (MlflowException, SQLAlchemyError, OSError, sqlite3.Error, ImportError) as error:
        raise ServiceError(
            "MLflow at {uri}: cannot be used: {reason} Give another "
            "registry.tracking_uri, or bring that one back: medembed restore makes one anew "
            "from a backup.",
            uri=without_passwords(tracking_uri),
            reason=_first_line(error),
        ) from None


def _open_server(tracking_uri: str) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    with _impatient():
        client.search_experiments(max_results=1)
    return client


def _open_file(tracking_uri: str) -> Any:
    from mlflow import MlflowClient

    file = Path(tracking_uri.removeprefix(SQLITE))
    file.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that open an empty SQLite file together both migrate it, and break it.
    with open(f"{file}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # MLflow would try for minutes to open what is not a database: SQLite says so at once.
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


@contextmanager
def _impatient() -> Iterator[None]:
    """Have MLflow give up on a silent server after seconds: by itself it takes minutes."""
    unset = [name for name in _IMPATIENT if name not in os.environ]
    for name in unset:
        os.environ[name] = _IMPATIENT[name]
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


def explain(error: BaseException) -> ServiceError | None:
    """Return an error of MLflow's as one of ours, None for any other error."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, MlflowException | SQLAlchemyError):
        return ServiceError("MLflow failed: {reason}", reason=_first_line(error))
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = without_passwords(lines[0])
    if cause := _HTTP_CAUSE.search(line):
        line = cause[1]
    return line if line.endswith(".") else f"{line}."


def pages(search: Callable[..., Any], **asked: Any) -> Iterator[Any]:
    """Yield all that a search of MLflow's client finds, page by page."""
    token = None
    while True:
        page = search(max_results=_PER_PAGE, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return

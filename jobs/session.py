"""What every job shares: config, Ray, errors of one line, and summary.json."""

import atexit
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn

from jobs.beforehand import check_config, check_places
from jobs.cluster import IN_RAY_JOB
from jobs.language import JobConfig, SomeConfig, load_job
from jobs.ray_session import HUNG_UP, TERMINATED, exit_on_signals, ray_session
from medembed import storage
from medembed.errors import MedEmbedError, find_known
from medembed.language import to_translate, tr
from medembed.privacy import close_files, silence_telemetry, without_passwords

Summary = dict[str, Any]
Ray = Literal["any", "private", "none"]

logger = logging.getLogger("medembed")
_PASSWORD_SEEN = to_translate(
    "an argument has a password in it, which every user of this machine can see meanwhile (ps); "
    "give it in a YAML file or an environment variable, such as MLFLOW_TRACKING_URI"
)


def run_job(
    model: type[SomeConfig],
    body: Callable[[SomeConfig], Summary],
    argv: Sequence[str] | None,
    *,
    ray: Ray | Callable[[SomeConfig], Ray] = "any",
) -> NoReturn:
    """Run a job's body under its config and exit.

    The status is 0, 2 for what the user can mend, else 128 and the signal's number. The body's
    summary is printed as its last lines and written to summary.json in the job's output. `ray` says
    whether the body needs Ray, and whether that may be the cluster in RAY_ADDRESS; where this
    depends on the config, it is a function of it.
    """
    silence_telemetry()
    close_files()
    atexit.register(_end_stderr)  # first in, last out
    exit_on_signals()
    _start_logging()
    started = time.monotonic()
    try:
        config = _read_config(model, sys.argv[1:] if argv is None else argv)
        mode = ray(config) if callable(ray) else ray
        if mode == "none":
            summary = body(config)
        else:
            with ray_session(None if mode == "private" else os.environ.get("RAY_ADDRESS")):
                if is_on_many_nodes():
                    check_places(config)
                summary = body(config)
        _finish(config, summary, time.monotonic() - started)
    except (KeyboardInterrupt, SystemExit) as stop:  # Ray Train turns Ctrl-C into SystemExit
        code = getattr(stop, "code", None)
        status = code if code in (TERMINATED, HUNG_UP) else 130
        _fail(
            tr("interrupted; what was finished stays, and the same command goes on from there."),
            status,
        )
    except Exception as error:
        known = find_known(error) or _of_mlflow(error)
        if known is None:
            raise
        _fail(tr("error: {error}", error=known), 2)
    sys.exit(0)


def is_submitted() -> bool:
    """Return whether this process runs in a Ray job, whose folder Ray deletes afterwards."""
    return IN_RAY_JOB in os.environ


def is_on_many_nodes() -> bool:
    """Return whether the Ray that this process is connected to, if any, has several nodes."""
    ray = sys.modules.get("ray")  # a job without Ray need not import it
    if ray is None or not ray.is_initialized():
        return False
    return sum(node["Alive"] for node in ray.nodes()) > 1


def is_on_cluster() -> bool:
    """Return whether this node's disk may be out of reach for others, or gone when the job ends."""
    return is_submitted() or is_on_many_nodes()


def _read_config(model: type[SomeConfig], arguments: Sequence[str]) -> SomeConfig:
    """Return the job's config, checked as far as that is possible before Ray starts."""
    config = load_job(model, arguments)
    if any(argument != without_passwords(argument) for argument in arguments):
        logger.warning(tr(_PASSWORD_SEEN))
    check_config(config)
    return config


def _finish(config: JobConfig, summary: Summary, seconds: float) -> None:
    lines = summary.pop("lines", [])
    output = summary.get("output")
    summary |= {"config": config.model_dump(mode="json"), "total_seconds": round(seconds, 1)}
    if output:
        text = json.dumps(summary, indent=2, ensure_ascii=False, default=str)
        file = storage.join(output, "summary.json")
        storage.write_bytes(file, without_passwords(text).encode())
        lines = [*lines, tr("summary: {file}", file=file)]
    lines = [*lines, tr("done in {seconds:.0f} s", seconds=seconds)]
    print(without_passwords("\n".join(lines)), flush=True)


def _of_mlflow(error: BaseException) -> MedEmbedError | None:
    """Return what a job says of an error of MLflow's, if it has imported that."""
    if "mlflow" not in sys.modules:
        return None
    from medembed.registry.connect import explain

    return explain(error)


def _fail(message: str, status: int) -> NoReturn:
    print(without_passwords(message), file=sys.stderr, flush=True)
    sys.exit(status)


def _start_logging() -> None:
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(_mask)
    logger.setLevel(logging.INFO)


def _mask(record: logging.LogRecord) -> bool:
    """Take passwords of URIs out of a log line; a filter that lets every line through."""
    record.msg = without_passwords(record.getMessage())
    record.args = None
    return True


def _end_stderr() -> None:
    """Close standard error at exit: DuckDB's bindings may complain there of objects not freed."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

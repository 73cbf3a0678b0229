"""Submit a job to a Ray cluster and follow its log.

As `ray job submit --working-dir . -- python -m jobs.<job> ...` does.
"""

import asyncio
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.beforehand import check_places
from jobs.cluster import check_dashboard
from medembed.config import Config, load_config
from medembed.errors import ConfigError, ServiceError, first_line

MAX_PACKAGE_BYTES = 512 * 1024 * 1024
PACKAGES = ("jobs", "medembed", "serve")


def submit_job(name: str, arguments: Sequence[str], model: type[Config], address: str) -> int:
    """Return the job's exit status: 0 if it succeeded, 1 if it failed, 130 if Ctrl-C detached.

    Raises ConfigError before anything is sent if the config is wrong or names a place that nodes do
    not share.
    """
    check_places(load_config(model, arguments))
    travelling = [*PACKAGES, *(argument for argument in arguments[:1] if "=" not in argument)]
    _check_package(Path.cwd(), travelling)
    check_dashboard(address)
    entrypoint = shlex.join(["python", "-m", f"jobs.{name}", *arguments])
    client = _connect(address)
    job_id = _submit(client, address, entrypoint, travelling)
    print(f"submitted {job_id} to {address}", file=sys.stderr, flush=True)
    try:
        asyncio.run(_follow(client, job_id))
    except KeyboardInterrupt:
        print(
            f"\ndetached from {job_id}, which goes on. Follow: ray job logs --follow --address "
            f"{address} {job_id}\nStop: ray job stop --address {address} {job_id}",
            file=sys.stderr,
        )
        return 130
    status = client.get_job_info(job_id)
    if status.status == "SUCCEEDED":
        return 0
    print(f"error: job {job_id} {status.status.lower()}: its log above says why.", file=sys.stderr)
    return 1


def _check_package(folder: Path, names: Sequence[str]) -> None:
    """Raise ConfigError if what travels is not below this folder, or is too large."""
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder) or not (folder / name).exists():
            raise ConfigError(
                f"{name}: not in {folder}; submit from the repository's root, with the config "
                "file below it."
            )
    size = 0
    for name in names:
        for path in [folder / name, *(folder / name).rglob("*")]:
            if path.is_file():
                size += path.stat().st_size
    if size > MAX_PACKAGE_BYTES:
        raise ConfigError(
            f"{folder}: {size >> 20} MiB to send, at most {MAX_PACKAGE_BYTES >> 20}; move data "
            "to storage."
        )


def _connect(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    with _one_line(address):
        return JobSubmissionClient(address)


def _submit(client: Any, address: str, entrypoint: str, names: Sequence[str]) -> str:
    """Send these names and nothing else, as the folder may hold data; return the job's id."""
    excludes = ["/*", *(f"!/{name}" for name in names)]
    with _one_line(address):
        return str(
            client.submit_job(
                entrypoint=entrypoint, runtime_env={"working_dir": ".", "excludes": excludes}
            )
        )


@contextmanager
def _one_line(address: str) -> Iterator[None]:
    from ray.exceptions import RayError

    try:
        yield
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = first_line(error)
        raise ServiceError(f"--address {address}: cannot submit to the cluster: {reason}") from None


async def _follow(client: Any, job_id: str) -> None:
    async for lines in client.tail_job_logs(job_id):
        print(lines, end="", flush=True)

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
from jobs.language import JobConfig, load_job
from medembed.errors import ConfigError, ServiceError, first_line
from medembed.language import current_language, to_translate, tr

MAX_PACKAGE_BYTES = 512 * 1024 * 1024
PACKAGES = ("jobs", "medembed", "serve")


def submit_job(name: str, arguments: Sequence[str], model: type[JobConfig], address: str) -> int:
    """Return the job's exit status: 0 if it succeeded, 1 if it failed, 130 if Ctrl-C detached.

    Raises ConfigError before anything is sent if the config is wrong or names a place that nodes do
    not share.
    """
    check_places(load_job(model, arguments))
    travelling = [*PACKAGES, *(argument for argument in arguments[:1] if "=" not in argument)]
    _check_package(Path.cwd(), travelling)
    check_dashboard(address)
    entrypoint = shlex.join(["python", "-m", f"jobs.{name}", *arguments])
    client = _connect(address)
    job_id = _submit(client, address, entrypoint, travelling)
    submitted = tr("submitted {job_id} to {address}", job_id=job_id, address=address)
    print(submitted, file=sys.stderr, flush=True)
    try:
        asyncio.run(_follow(client, job_id))
    except KeyboardInterrupt:
        detached = tr(
            "detached from {job_id}, which goes on. Follow: ray job logs --follow --address "
            "{address} {job_id}\nStop: ray job stop --address {address} {job_id}",
            job_id=job_id,
            address=address,
        )
        print(f"\n{detached}", file=sys.stderr)
        return 130
    status = client.get_job_info(job_id)
    if status.status == "SUCCEEDED":
        return 0
    ended = to_translate("error: job {job_id} failed: its log above says why.")
    if status.status == "STOPPED":
        ended = to_translate("error: job {job_id} stopped: its log above says why.")
    print(tr(ended, job_id=job_id), file=sys.stderr)
    return 1


def _check_package(folder: Path, names: Sequence[str]) -> None:
    """Raise ConfigError if what travels is not below this folder, or is too large."""
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder) or not (folder / name).exists():
            raise ConfigError(
                "{name}: not in {folder}; submit from the repository's root, with the config "
                "file below it.",
                name=name,
                folder=folder,
            )
    size = 0
    for name in names:
        for path in [folder / name, *(folder / name).rglob("*")]:
            if path.is_file():
                size += path.stat().st_size
    if size > MAX_PACKAGE_BYTES:
        raise ConfigError(
            "{folder}: {size} MiB to send, at most {limit}; move data to storage.",
            folder=folder,
            size=size >> 20,
            limit=MAX_PACKAGE_BYTES >> 20,
        )


def _connect(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    with _one_line(address):
        return JobSubmissionClient(address)


def _submit(client: Any, address: str, entrypoint: str, names: Sequence[str]) -> str:
    """Send these names and nothing else, as the folder may hold data; return the job's id."""
    excludes = ["/*", *(f"!/{name}" for name in names)]
    environment = {
        "working_dir": ".",
        "excludes": excludes,
        "env_vars": {"LANGUAGE": current_language()},
    }
    with _one_line(address):
        return str(client.submit_job(entrypoint=entrypoint, runtime_env=environment))


@contextmanager
def _one_line(address: str) -> Iterator[None]:
    from ray.exceptions import RayError

    try:
        yield
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        reason = first_line(error)
        raise ServiceError(
            "--address {address}: cannot submit to the cluster: {reason}",
            address=address,
            reason=reason,
        ) from None


async def _follow(client: Any, job_id: str) -> None:
    async for lines in client.tail_job_logs(job_id):
        print(lines, end="", flush=True)
